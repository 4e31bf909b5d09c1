//! A PaddleMIX model computes here what it computes in PaddlePaddle.

use std::path::Path;

use engine::model::{CoCa, TextBatch, parameter_specs};
use engine::weights::WeightsFile;
use tch::Device;

use crate::common::close;

#[test]
fn paddlemix_weights_compute_what_paddlepaddle_computes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/weights/paddle");
    let source = engine::source::folder(&folder, None).unwrap();
    let file = WeightsFile::open(source.weights.as_deref().unwrap()).unwrap();
    let parameters = file.parameters(&parameter_specs(&source.config), Device::Cpu).unwrap();
    let model = CoCa::new(source.config, &parameters).unwrap();
    let computed = WeightsFile::open(&folder.join("computed.safetensors")).unwrap();
    let computed: std::collections::HashMap<_, _> = computed.all(Device::Cpu).unwrap().into_iter().collect();
    let text = TextBatch::whole(&computed["ids"], &model.config, Device::Cpu).unwrap();
    let out = model.forward(&computed["pixels"], &text, false).unwrap();
    close("image_features", &out.image_features_bd, &computed["image_features"]);
    close("text_features", &out.text_features_bd, &computed["text_features"]);
    close("logits", &out.logits_btv, &computed["logits"]);
}
