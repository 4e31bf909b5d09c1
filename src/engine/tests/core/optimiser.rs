//! What AdamW and its helpers do beyond one golden step.

use engine::model::Parameters;
use engine::optimiser::{AdamW, AdamWConfig, LOGIT_SCALE_MAX, OptimiserError, Rates};
use engine::optimiser::{clamp_logit_scale, clip_gradient_norm};
use engine::shim::Autocast;
use tch::{Device, Kind, Tensor};

use crate::common::difference;

const CPU: Device = Device::Cpu;

fn store() -> Parameters {
    let named = [("visual.proj", vec![3i64, 2]), ("text.ln_final.bias", vec![4]), ("logit_scale", vec![])];
    let tensor = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, CPU));
    Parameters::from_named(named.iter().map(|(n, s)| (n.to_string(), tensor(s))).collect()).unwrap()
}

/// Gives every parameter but the named one a gradient of `value`.
fn backward(parameters: &Parameters, value: f64, except: &str) {
    parameters.clear_gradients().unwrap();
    let parts = parameters.iter().filter(|(name, _)| *name != except);
    let sum = parts.map(|(_, p)| p.sum(Kind::Float)).reduce(|a, b| a + b).unwrap();
    (sum * value).backward();
}

#[test]
fn rates_are_per_tower_and_a_parameter_without_gradient_is_left_alone() {
    let parameters = store();
    let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    backward(&parameters, 1.0, "logit_scale");
    let rates = Rates { visual_lr: 0.1, visual_wd: 0.5, text_lr: 0.01, text_wd: 0.5, logit_scale_lr: 9.0 };
    adamw.step(&rates, None).unwrap();
    let value = |name: &str| parameters.get(name).unwrap().view([-1]).double_value(&[0]);
    // First step: 1 - lr * wd, then minus lr * g / (|g| + eps).
    assert!((value("visual.proj") - (1.0 - 0.05 - 0.1)).abs() < 1e-6);
    assert!((value("text.ln_final.bias") - (1.0 - 0.01)).abs() < 1e-6, "a bias does not decay");
    assert_eq!(value("logit_scale"), 1.0);
    let steps: Vec<_> = adamw
        .state()
        .iter()
        .filter(|(n, _)| n.starts_with("step."))
        .map(|(_, t)| t.double_value(&[]))
        .collect();
    assert_eq!(steps, [1.0, 1.0, 0.0]);
}

#[test]
fn a_skipped_step_changes_nothing() {
    let parameters = store();
    let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    backward(&parameters, f64::NAN, "");
    adamw.step(&Rates::uniform(0.1, 0.1), Some(&Tensor::from(1.0f32))).unwrap();
    for (name, tensor) in adamw.state() {
        assert_eq!(difference(&tensor, &tensor.zeros_like()), 0.0, "{name}");
    }
    assert_eq!(parameters.get("visual.proj").unwrap(), Tensor::ones([3, 2], (Kind::Float, CPU)));
    backward(&parameters, 1.0, "");
    adamw.step(&Rates::uniform(0.1, 0.0), Some(&Tensor::from(0.0f32))).unwrap();
    assert!((parameters.get("logit_scale").unwrap().double_value(&[]) - 0.9).abs() < 1e-6);
}

#[test]
fn a_state_that_was_stored_goes_on_to_the_bit() {
    let rates = Rates::uniform(0.05, 0.1);
    let run = |reload: bool| {
        let parameters = store();
        let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
        for step in 0..4 {
            if step == 2 && reload {
                let state = adamw.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
                adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
                adamw.load_state(state).unwrap();
            }
            backward(&parameters, f64::from(step) - 1.3, "");
            adamw.step(&rates, None).unwrap();
        }
        parameters.get("visual.proj").unwrap()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_state_that_does_not_fit_is_refused_whole() {
    let parameters = store();
    let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    let good = || -> Vec<(String, Tensor)> { adamw.state().into_iter().map(|(n, t)| (n, t + 3.0)).collect() };
    let (mut missing, mut extra, mut shape) = (good(), good(), good());
    missing.pop();
    extra.push(("exp_avg.none".into(), Tensor::from(1.0f32)));
    shape[0].1 = Tensor::zeros([2, 3], (Kind::Float, CPU));
    assert!(
        matches!(adamw.load_state(missing), Err(OptimiserError::MissingState(n)) if n == "step.logit_scale")
    );
    assert!(matches!(adamw.load_state(extra), Err(OptimiserError::UnknownState(n)) if n == "exp_avg.none"));
    assert!(matches!(adamw.load_state(shape), Err(OptimiserError::StateShape { .. })));
    for (name, tensor) in adamw.state() {
        assert_eq!(difference(&tensor, &tensor.zeros_like()), 0.0, "{name}");
    }
}

#[test]
fn clipping_follows_the_norm_of_all_gradients() {
    let gradients = || [Tensor::from_slice(&[3.0f32, 0.0]), Tensor::from_slice(&[0.0f32, 4.0, 12.0])];
    for (max_norm, factor) in [(None, 1.0), (Some(20.0), 1.0), (Some(1.3), 1.3 / (13.0 + 1e-6))] {
        let clipped = gradients();
        let norm = clip_gradient_norm(&clipped, max_norm).unwrap();
        assert_eq!(norm.double_value(&[]), 13.0);
        for (clipped, whole) in clipped.iter().zip(gradients()) {
            assert!(difference(clipped, &(whole * factor)) < 1e-6, "{max_norm:?}");
        }
    }
    assert!(clip_gradient_norm(&[], Some(1.0)).is_err());
}

#[test]
fn the_logit_scale_stays_in_range() {
    let parameters = store();
    for (set, expected) in [(9.0, LOGIT_SCALE_MAX), (-1.0, 0.0), (2.5, 2.5)] {
        let mut scale = parameters.get("logit_scale").unwrap();
        tch::no_grad(|| drop(scale.fill_(set)));
        clamp_logit_scale(&parameters).unwrap();
        assert!((scale.double_value(&[]) - expected).abs() < 1e-6);
    }
}

#[test]
fn autocast_lives_as_long_as_its_guard() {
    let a = Tensor::ones([4, 4], (Kind::Float, CPU));
    {
        let _guard = Autocast::enter(CPU, Kind::BFloat16).unwrap();
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
    }
    assert_eq!(a.matmul(&a).kind(), Kind::Float);
    assert!(Autocast::enter(CPU, Kind::Int64).is_err());
}
