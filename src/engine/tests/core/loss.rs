//! The training form of the loss against the plain one: value and every gradient, over random texts.

use crate::common::{difference, tiny};
use engine::loss::{
    Gathered, LossError, LossWeights, coca_loss, contrastive_loss, plain_loss, vocabulary_cross_entropy,
};
use engine::model::{CoCa, CoCaConfig, Parameters, TextBatch, parameter_specs};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const CPU: Device = Device::Cpu;

fn gradients(parameters: &Parameters) -> Vec<Option<Tensor>> {
    let gradients = parameters.gradients().unwrap();
    parameters.clear_gradients().unwrap();
    gradients
}

/// Both forms on one batch. Rows are token ids of any length up to the context, padded here.
fn compare(config: &CoCaConfig, parameters: &Parameters, rows: &[Vec<i64>], weights: LossWeights) {
    let context = config.text.context_length;
    let padded: Vec<i64> = rows
        .iter()
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat(0)).take(context as usize))
        .collect();
    let ids = Tensor::from_slice(&padded).view([rows.len() as i64, context]);
    let side = config.vision.image_size;
    let image = Tensor::randn([rows.len() as i64, 3, side, side], (Kind::Float, CPU));
    let model = CoCa::new(config.clone(), parameters).unwrap();

    let whole = TextBatch::whole(&ids, config, CPU).unwrap();
    let output = model.forward(&image, &whole, true).unwrap();
    let plain = plain_loss(&output, output.labels_bt.as_ref().unwrap(), 0, weights).unwrap();
    plain.total.backward();
    let expected = gradients(parameters);

    let text = TextBatch::trimmed(&ids, config, CPU).unwrap();
    let used = rows.iter().filter_map(|row| row.iter().rposition(|id| *id != 0)).max().unwrap() as i64 + 1;
    assert_eq!(text.columns(), context.min(used + 1));
    let trained = coca_loss(&model, &image, &text, weights, None).unwrap();
    trained.total.backward();

    for (what, a, b) in [
        ("total", &trained.total, &plain.total),
        ("contrastive", &trained.contrastive, &plain.contrastive),
        ("caption", &trained.caption, &plain.caption),
    ] {
        assert!(difference(a, b) <= 1e-5, "{what}: {a:?} {b:?}, rows {rows:?}");
    }
    for ((name, ours), theirs) in parameters.names().iter().zip(gradients(parameters)).zip(expected) {
        let size = |t: &Tensor| difference(t, &t.zeros_like());
        let (worst, scale) = match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => (difference(ours, theirs), size(theirs)),
            // Where only one form leaves the parameter out, the other's gradient must be nothing.
            (None, Some(only)) | (Some(only), None) => (size(only), 0.0),
            (None, None) => (0.0, 0.0),
        };
        // Of the largest number where that is above 1: positional gradients go up to 20, sums of float32.
        let allowed = 1e-5 * scale.max(1.0);
        assert!(worst <= allowed, "gradient of {name}: {worst:e} of {scale}, rows {rows:?}, {weights:?}");
    }
}

/// A text: SOT, then anything, zeros inside included, then EOT.
fn text(context: usize) -> impl Strategy<Value = Vec<i64>> {
    let inside = prop_oneof![4 => 1i64..95, 1 => Just(0i64)];
    proptest::collection::vec(inside, 0..=context - 2).prop_map(|ids| [&[95][..], &ids, &[96]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn trimmed_equals_plain(
        rows in proptest::collection::vec(text(12), 1..5),
        correct in any::<bool>(),
        parts in 0..3,
    ) {
        let (mut config, parameters) = tiny();
        config.text.correct_cls_mask = correct;
        let weights = LossWeights {
            contrastive: if parts == 1 { 0.0 } else { 1.0 },
            caption: if parts == 2 { 0.0 } else { 2.0 },
        };
        compare(&config, &parameters, &rows, weights);
    }
}

#[test]
fn every_length_up_to_the_whole_context() {
    for correct in [false, true] {
        for n in 2..=12usize {
            let (mut config, parameters) = tiny();
            config.text.correct_cls_mask = correct;
            let long: Vec<i64> = std::iter::once(95).chain(1..n as i64 - 1).chain([96]).collect();
            compare(&config, &parameters, &[long, vec![95, 96]], LossWeights::default());
        }
    }
}

#[test]
fn without_a_pooler_too() {
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(crate::common::fixture("tiny_config.json")).unwrap())
            .unwrap();
    json["vision_cfg"]["attentional_pool"] = false.into();
    json["vision_cfg"]["width"] = 32.into();
    let config = CoCaConfig::from_json(&json.to_string()).unwrap();
    let parameters = Parameters::initialise(&parameter_specs(&config), 3, CPU).unwrap();
    compare(&config, &parameters, &[vec![95, 4, 0, 5, 96], vec![95, 7, 96]], LossWeights::default());
}

#[test]
fn a_weight_of_zero_leaves_its_own_parameters_alone() {
    let ids = Tensor::from_slice(&[95i64, 5, 6, 96, 0, 0, 95, 7, 96, 0, 0, 0]).view([2, 6]);
    let cases = [
        (LossWeights { contrastive: 0.0, caption: 2.0 }, vec!["logit_scale", "visual.proj", "text.cls_emb"]),
        (LossWeights { contrastive: 1.0, caption: 0.0 }, vec!["text_decoder.text_projection"]),
    ];
    for (weights, without) in cases {
        let (config, parameters) = tiny();
        let model = CoCa::new(config, &parameters).unwrap();
        let text = TextBatch::trimmed(&ids, &model.config, CPU).unwrap();
        let image = Tensor::randn([2, 3, 32, 32], (Kind::Float, CPU));
        let losses = coca_loss(&model, &image, &text, weights, None).unwrap();
        losses.total.backward();
        let gradients: std::collections::HashMap<_, _> =
            parameters.names().iter().cloned().zip(parameters.gradients().unwrap()).collect();
        for name in without {
            assert!(gradients[name].is_none(), "{name}");
        }
        assert!(gradients["visual.conv1.weight"].is_some());
    }
}

#[test]
fn chunks_do_not_change_the_loss_and_no_grad_wants_none() {
    let hidden = Tensor::randn([23, 8], (Kind::Float, CPU)).set_requires_grad(true);
    let head = Tensor::randn([8, 31], (Kind::Float, CPU)).set_requires_grad(true);
    let labels = Tensor::randint(31, [23], (Kind::Int64, CPU));
    let none = None::<&Tensor>;
    let plain = hidden.matmul(&head).cross_entropy_loss(&labels, none, tch::Reduction::Mean, -100, 0.0);
    let expected = Tensor::run_backward(&[&plain * 3.0], &[&hidden, &head], false, false);
    for chunk in [1, 7, 22, 23, 100] {
        let ours = vocabulary_cross_entropy(&hidden, &head, &labels, chunk).unwrap();
        assert!(difference(&ours, &plain) <= 1e-5, "{chunk}");
        let gradients = Tensor::run_backward(&[&ours * 3.0], &[&hidden, &head], false, false);
        for (ours, theirs) in gradients.iter().zip(&expected) {
            assert!(difference(ours, theirs) <= 1e-5, "{chunk}");
        }
    }
    let value = tch::no_grad(|| vocabulary_cross_entropy(&hidden, &head, &labels, 5).unwrap());
    assert!(!value.requires_grad() && difference(&value, &plain) <= 1e-5);
}

/// Two ranks with `local_loss` against one process with the whole batch.
#[test]
fn gathered_features_give_the_mean_over_ranks() {
    let normal = |rows: i64| engine::model::l2_normalise(&Tensor::randn([rows, 8], (Kind::Float, CPU)));
    let (image, text, scale) = (normal(6), normal(6), Tensor::from(14.0f32));
    let whole = contrastive_loss(&image, &text, &scale, None);
    let halves = [0, 3].map(|first_row| {
        let (image_nd, text_nd) = (image.shallow_clone(), text.shallow_clone());
        let all = Gathered { image_nd, text_nd, first_row, whole_loss: false };
        contrastive_loss(&image.narrow(0, first_row, 3), &text.narrow(0, first_row, 3), &scale, Some(&all))
    });
    assert!(difference(&((&halves[0] + &halves[1]) / 2.0), &whole) <= 1e-6);
}

#[test]
fn bad_batches_are_errors() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = |n: i64, side: i64| Tensor::zeros([n, 3, side, side], (Kind::Float, CPU));
    let trimmed =
        |ids: &[i64]| TextBatch::trimmed(&Tensor::from_slice(ids).view([1, -1]), &model.config, CPU);
    let weights = LossWeights::default();
    let loss = |image: &Tensor, ids: &[i64], weights| {
        coca_loss(&model, image, &trimmed(ids).unwrap(), weights, None).unwrap_err()
    };
    assert!(matches!(loss(&image(1, 32), &[95, 0, 0], weights), LossError::NoLabels));
    assert!(matches!(loss(&image(2, 32), &[95, 96], weights), LossError::Unpaired { .. }));
    assert!(loss(&image(1, 16), &[95, 96], weights).to_string().contains("[batch, 3, 32, 32]"));
    let nothing = LossWeights { contrastive: 0.0, caption: 0.0 };
    assert!(matches!(loss(&image(1, 32), &[95, 96], nothing), LossError::NoWeight));
    for (ids, said) in [(vec![95, 97], "id 97"), (vec![-1, 3], "id -1"), (vec![1; 13], "1 to 12")] {
        let error = trimmed(&ids).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
