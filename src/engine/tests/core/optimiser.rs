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

/// Two parameters, one of which two micro-steps' losses read; its gradient is complete only after both.
fn trained(half_moments: bool, early: bool) -> (Vec<f64>, Vec<f64>) {
    let parameters = store();
    let config = AdamWConfig { half_moments, ..AdamWConfig::default() };
    let mut adamw = AdamW::new(&parameters, config).unwrap();
    let rates = Rates { visual_lr: 0.01, visual_wd: 0.1, text_lr: 0.002, text_wd: 0.1, logit_scale_lr: 0.01 };
    let mut norms = Vec::new();
    for step in 1..=20 {
        parameters.clear_gradients().unwrap();
        let get = |name: &str| parameters.get(name).unwrap();
        // The logit scale has its gradient before the last backward.
        (get("logit_scale") * 0.5).backward();
        let weight = (Tensor::arange(6, (Kind::Float, CPU)).view([3, 2]) + step).sin();
        let twice =
            (get("visual.proj") * &weight).sum(Kind::Float) + get("visual.proj").square().sum(Kind::Float);
        let loss = twice + (get("text.ln_final.bias") * 3.0).exp().sum(Kind::Float);
        if early {
            adamw.step_in_backward(&rates, &loss).unwrap();
            loss.backward();
            norms.push(adamw.finish_early().unwrap().double_value(&[]));
            assert!(parameters.gradients().unwrap().iter().all(Option::is_none), "no gradient is left");
        } else {
            loss.backward();
            norms.push(clip_gradient_norm(&adamw.gradients().unwrap(), None).unwrap().double_value(&[]));
            adamw.step(&rates, None).unwrap();
        }
    }
    let values = parameters.tensors().iter().flat_map(|t| Vec::<f64>::try_from(t.view([-1])).unwrap());
    (values.collect(), norms)
}

#[test]
fn updates_in_backward_are_those_after_it() {
    for half_moments in [false, true] {
        let (after, norms) = trained(half_moments, false);
        let (early, early_norms) = trained(half_moments, true);
        assert_eq!(early, after);
        assert!(norms.iter().zip(&early_norms).all(|(a, b)| (a - b).abs() < 1e-5 * a));
    }
}

#[test]
fn moments_in_bfloat16_are_near_and_take_half_the_memory() {
    let (whole, _) = trained(false, false);
    let (half, _) = trained(true, false);
    assert_ne!(whole, half);
    // 20 steps of 0.01 at most: what 8 bits lose of them.
    for (a, b) in half.iter().zip(&whole) {
        assert!((a - b).abs() < 0.004, "{half:?} instead of {whole:?}");
    }
    let bytes = |half_moments| {
        let config = AdamWConfig { half_moments, ..AdamWConfig::default() };
        AdamW::new(&store(), config).unwrap().state_bytes()
    };
    // 11 numbers in three parameters, and a count for each.
    assert_eq!((bytes(false), bytes(true)), (2 * 11 * 4 + 12, 2 * 11 * 2 + 12));
}

#[test]
fn what_is_not_finite_is_not_updated_in_backward() {
    let parameters = store();
    let adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    let get = |name: &str| parameters.get(name).unwrap();
    // The root's gradient at 0 has no number.
    let loss = (get("visual.proj") - 1.0).sqrt().sum(Kind::Float) + get("logit_scale");
    adamw.step_in_backward(&Rates::uniform(0.1, 0.0), &loss).unwrap();
    loss.backward();
    assert!(!adamw.finish_early().unwrap().double_value(&[]).is_finite());
    assert_eq!(get("visual.proj"), Tensor::ones([3, 2], (Kind::Float, CPU)));
    // A loss without a number spares all.
    let before = get("logit_scale").double_value(&[]);
    let loss = get("logit_scale") * f64::NAN;
    adamw.step_in_backward(&Rates::uniform(0.1, 0.0), &loss).unwrap();
    loss.backward();
    let _ = adamw.finish_early().unwrap();
    assert_eq!(get("logit_scale").double_value(&[]), before);
}
