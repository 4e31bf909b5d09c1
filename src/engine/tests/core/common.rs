//! The golden fixture, and comparison by tensor name.

use std::collections::HashMap;
use std::path::PathBuf;

use engine::model::{CoCaConfig, Parameters, parameter_specs};
use engine::weights::WeightsFile;
use tch::{Device, Kind, Tensor};

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden").join(name)
}

/// The tiny model of the golden files.
pub fn tiny() -> (CoCaConfig, Parameters) {
    let config =
        CoCaConfig::from_json(&std::fs::read_to_string(fixture("tiny_config.json")).unwrap()).unwrap();
    let file = WeightsFile::open(&fixture("tiny_model.safetensors")).unwrap();
    let parameters = file.parameters(&parameter_specs(&config), Device::Cpu).unwrap();
    (config, parameters)
}

/// What open_clip computed with it.
pub fn golden() -> HashMap<String, Tensor> {
    let file = WeightsFile::open(&fixture("tiny_fixture.safetensors")).unwrap();
    file.all(Device::Cpu).unwrap().into_iter().collect()
}

pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    if a.numel() == 0 { 0.0 } else { (a - b).abs().max().to_kind(Kind::Double).double_value(&[]) }
}

/// Fails, with the name, unless shapes are equal and no number differs by more than 1e-5.
pub fn close(name: &str, ours: &Tensor, theirs: &Tensor) {
    assert_eq!(ours.size(), theirs.size(), "{name}: shape");
    let worst = difference(ours, theirs);
    assert!(worst <= 1e-5, "{name}: max abs difference {worst:e}");
}
