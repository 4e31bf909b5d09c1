//! Drawing the next id, with top-k, top-p and temperature.

use tch::{Device, Kind, Tensor};

use super::GenerateError;
use crate::shim::Generator;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Only the k likeliest ids.
    pub top_k: Option<i64>,
    /// Only the smallest set of likeliest ids whose probabilities reach p (at least one id).
    pub top_p: Option<f64>,
    /// Divides the logits after the two filters, as open_clip does (others do it before).
    pub temperature: f64,
}

/// A seeded source of ids: the same seed and logits give the same ids.
#[derive(Debug)]
pub struct Sampler {
    by: Sampling,
    generator: Generator,
}

impl Sampler {
    /// Errors: k below 1, p outside (0, 1], a temperature that is not above 0.
    pub fn new(by: Sampling, seed: u64) -> Result<Self, GenerateError> {
        let wrong = |said: String| Err(GenerateError::Options(said));
        if let Some(k) = by.top_k.filter(|k| *k < 1) {
            return wrong(format!("top_k = {k} must be at least 1"));
        }
        if let Some(p) = by.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return wrong(format!("top_p = {p} must be above 0 and at most 1"));
        }
        if !(by.temperature > 0.0 && by.temperature.is_finite()) {
            return wrong(format!("temperature = {} must be above 0", by.temperature));
        }
        Ok(Self { by, generator: Generator::new(seed)? })
    }

    /// Ids `[b]` for logits `[b,v]`.
    pub(super) fn pick(&mut self, logits_bv: &Tensor) -> Result<Tensor, GenerateError> {
        let mut logits = logits_bv.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        let vocab = logits.size().last().copied().unwrap_or(1);
        if let Some(p) = self.by.top_p {
            let (sorted, order) = logits.f_sort(-1, true)?;
            let probabilities = sorted.f_softmax(-1, Kind::Float)?;
            // An id stays while those before it have not reached p.
            let before = probabilities.f_cumsum(-1, Kind::Float)?.f_sub(&probabilities)?;
            let drop_sorted = before.f_ge(p)?;
            let drop = drop_sorted.f_zeros_like()?.f_scatter(-1, &order, &drop_sorted)?;
            logits = logits.f_masked_fill(&drop, f64::NEG_INFINITY)?;
        }
        if let Some(k) = self.by.top_k {
            let (top, _) = logits.f_topk(k.min(vocab), -1, true, true)?;
            let least = top.f_narrow(-1, k.min(vocab) - 1, 1)?;
            logits = logits.f_masked_fill(&logits.f_lt_tensor(&least)?, f64::NEG_INFINITY)?;
        }
        let probabilities = logits.f_div_scalar(self.by.temperature)?.f_softmax(-1, Kind::Float)?;
        Ok(self.generator.multinomial(&probabilities)?.f_squeeze_dim(-1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(by: Sampling, draws: usize) -> [usize; 4] {
        // Probabilities 0.5, 0.3, 0.15, 0.05.
        let logits = Tensor::from_slice(&[0.5f32, 0.3, 0.15, 0.05]).log().view([1, 4]);
        let mut sampler = Sampler::new(by, 5).unwrap();
        let mut counts = [0; 4];
        for _ in 0..draws {
            counts[sampler.pick(&logits).unwrap().int64_value(&[0]) as usize] += 1;
        }
        counts
    }

    #[test]
    fn filters_keep_what_they_should_and_temperature_sharpens() {
        let all = Sampling { top_k: None, top_p: None, temperature: 1.0 };
        let free = counts(all, 2000);
        assert!((850..1150).contains(&free[0]) && free[3] > 50, "{free:?}");
        assert_eq!(counts(all, 50), counts(all, 50), "seeded");
        assert_eq!(counts(Sampling { top_k: Some(1), ..all }, 100), [100, 0, 0, 0]);
        let two = counts(Sampling { top_k: Some(2), ..all }, 500);
        assert!(two[1] > 100 && two[2] + two[3] == 0, "{two:?}");
        assert_eq!(counts(Sampling { top_p: Some(0.1), ..all }, 100), [100, 0, 0, 0]);
        // 0.5 + 0.3 does not reach 0.85: the third id stays.
        let nucleus = counts(Sampling { top_p: Some(0.85), ..all }, 1000);
        assert!(nucleus[2] > 80 && nucleus[3] == 0, "{nucleus:?}");
        let sharp = counts(Sampling { temperature: 0.2, ..all }, 1000);
        assert!(sharp[0] > 900, "{sharp:?}");
    }

    #[test]
    fn bad_settings_are_refused() {
        let good = Sampling { top_k: Some(1), top_p: Some(0.5), temperature: 1.0 };
        for bad in [
            Sampling { top_k: Some(0), ..good },
            Sampling { top_p: Some(0.0), ..good },
            Sampling { top_p: Some(f64::NAN), ..good },
            Sampling { temperature: 0.0, ..good },
        ] {
            assert!(Sampler::new(bad, 0).is_err(), "{bad:?}");
        }
    }
}
