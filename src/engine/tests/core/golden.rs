//! Against open_clip 3.3.0 on a tiny model: tests/fixtures/golden/, made by make_golden.py there.

use crate::common::{close, difference, golden, tiny};
use engine::loss::{LossWeights, coca_loss, plain_loss};
use engine::model::{CoCa, TextBatch};
use engine::optimiser::{AdamW, AdamWConfig, Rates, clip_gradient_norm};
use tch::{Device, Kind};

/// What make_golden.py used.
const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-6, half_moments: false };

#[test]
fn every_output_matches() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let g = golden();
    let text = TextBatch::whole(&g["text"], &model.config, Device::Cpu).unwrap();

    let out = model.forward(&g["image"], &text, true).unwrap();
    close("image_features", &out.image_features_bd, &g["image_features"]);
    close("text_features", &out.text_features_bd, &g["text_features"]);
    close("logits", &out.logits_btv, &g["logits"]);
    close("logit_scale", &out.logit_scale.view([1]), &g["logit_scale"]);
    assert_eq!(out.labels_bt.unwrap(), g["labels"]);

    let plain = model.forward(&g["image"], &text, false).unwrap();
    close("logits, no shift", &plain.logits_btv, &g["logits_no_shift"]);
    close("image_embs", &model.encode_image(&g["image"]).unwrap().tokens_bnw, &g["image_embs"]);
    let (_, tokens) = model.text.forward(&text);
    close("token_embs", &tokens, &g["token_embs"]);
    close("tokens without CLS", &model.text.tokens(&text, text.columns()), &g["token_embs"]);

    let mask = model.text.additive_mask(&g["text"], text.columns() + 1, tch::Kind::Float).squeeze_dim(1);
    close("mask", &mask.clamp_min(-1e30), &g["text_additive_mask_head0"]);
}

/// Both forms of the loss: their values, every gradient, the gradient norm, one AdamW step.
#[test]
fn loss_gradients_and_one_update_match() {
    for trimmed in [false, true] {
        let (config, parameters) = tiny();
        let model = CoCa::new(config, &parameters).unwrap();
        let g = golden();
        let losses = if trimmed {
            let text = TextBatch::trimmed(&g["text"], &model.config, Device::Cpu).unwrap();
            coca_loss(&model, &g["image"], &text, LossWeights::default(), None).unwrap()
        } else {
            let text = TextBatch::whole(&g["text"], &model.config, Device::Cpu).unwrap();
            let out = model.forward(&g["image"], &text, true).unwrap();
            plain_loss(&out, &g["labels"], 0, LossWeights::default()).unwrap()
        };
        close("contrastive", &losses.contrastive.view([1]), &g["contrastive_loss"]);
        close("caption", &losses.caption.view([1]), &g["caption_loss"]);
        losses.total.backward();

        let names = parameters.names().to_vec();
        for (name, gradient) in names.iter().zip(parameters.gradients().unwrap()) {
            let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
            close(&format!("grad.{name}"), &gradient, &g[&format!("grad.{name}")]);
        }

        let mut optimiser = AdamW::new(&parameters, ADAMW).unwrap();
        let norm = clip_gradient_norm(&optimiser.gradients().unwrap(), Some(1e9)).unwrap();
        // One unit in the last place of a float32 of this size is 8e-6.
        let (ours, theirs) = (norm.double_value(&[]), g["grad_norm"].double_value(&[0]));
        assert!((ours - theirs).abs() <= 3e-7 * theirs, "grad_norm: {ours} {theirs}");
        optimiser.step(&Rates::uniform(1e-3, 0.2), None).unwrap();
        for (name, tensor) in parameters.iter() {
            let theirs = &g[&format!("after_adamw.{name}")];
            if !name.ends_with("in_proj_bias") {
                close(&format!("after_adamw.{name}"), tensor, theirs);
                continue;
            }
            // A bias on all keys shifts every score of a softmax alike: its true gradient is 0. What either
            // side has there is rounding (4e-8), of which AdamW, dividing by it, makes a step of up to 5e-5.
            let (ours, theirs) = (tensor.chunk(3, 0), theirs.chunk(3, 0));
            close(&format!("after_adamw.{name} (q)"), &ours[0], &theirs[0]);
            close(&format!("after_adamw.{name} (v)"), &ours[2], &theirs[2]);
            let keys = difference(&ours[1], &theirs[1]);
            assert!(keys <= 1e-4, "after_adamw.{name} (k): {keys:e}");
        }
    }
}

/// The optimiser by itself: open_clip's own gradients in, every number out, key biases too.
#[test]
fn one_update_by_golden_gradients_matches() {
    let (_, parameters) = tiny();
    let g = golden();
    let products = parameters.iter().map(|(name, p)| (p * &g[&format!("grad.{name}")]).sum(Kind::Float));
    products.reduce(|a, b| a + b).unwrap().backward();
    let mut optimiser = AdamW::new(&parameters, ADAMW).unwrap();
    optimiser.step(&Rates::uniform(1e-3, 0.2), None).unwrap();
    for (name, tensor) in parameters.iter() {
        let worst = difference(tensor, &g[&format!("after_adamw.{name}")]);
        assert!(worst <= 5e-7, "after_adamw.{name}: {worst:e}");
    }
}
