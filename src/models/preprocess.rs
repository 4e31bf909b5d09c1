//! How pictures are made ready for a model: `preprocess_cfg` of open_clip_config.json.

use serde_json::{Value, json};

/// Mean and standard deviation of each channel (of values from 0 to 1) that pictures are normalised by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue.
    pub std: [f32; 3],
}

impl Default for Preprocess {
    /// CLIP's.
    fn default() -> Self {
        Self {
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }
}

impl Preprocess {
    /// Reads `preprocess_cfg`; what it leaves out is CLIP's.
    ///
    /// # Errors
    /// Says which key asks for a way of resizing that is not built here.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let mut out = Self::default();
        for (key, numbers) in [("mean", &mut out.mean), ("std", &mut out.std)] {
            let Some(given) = value.get(key).filter(|v| !v.is_null()) else { continue };
            *numbers = serde_json::from_value(given.clone())
                .map_err(|_| format!("preprocess_cfg.{key} = {given} must be three numbers"))?;
        }
        if out.std.iter().any(|s| !(s.is_finite() && *s > 0.0)) || out.mean.iter().any(|m| !m.is_finite()) {
            return Err(format!("preprocess_cfg: mean {:?} and std {:?} cannot be used", out.mean, out.std));
        }
        for (key, built) in [("interpolation", "bicubic"), ("resize_mode", "shortest"), ("mode", "RGB")] {
            match value.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(asked)) if asked == built => {}
                Some(other) => {
                    return Err(format!(
                        "preprocess_cfg.{key} = {other} is not supported: only \"{built}\" is"
                    ));
                }
            }
        }
        Ok(out)
    }

    /// The JSON that open_clip reads.
    pub fn to_json(&self) -> Value {
        // Through text: the shortest decimals that mean the same float32, not their float64 expansion.
        let plain = |numbers: [f32; 3]| numbers.map(|x| x.to_string().parse::<f64>().unwrap_or(f64::from(x)));
        json!({
            "mean": plain(self.mean), "std": plain(self.std),
            "interpolation": "bicubic", "resize_mode": "shortest",
        })
    }
}
