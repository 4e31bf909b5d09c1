//! Whether a file's tensors are a model's, and the model's parameters from them.

use std::borrow::Cow;

use crate::Dtype;
use crate::file::{Data, WeightsError, WeightsFile};
use crate::parameters::ParameterSpec;
use crate::resize::{resize_image_positions, resize_text_positions};

/// Learned places of patches and of tokens: made to fit where the picture or the context is of another size.
const IMAGE_POSITIONS: &str = "visual.positional_embedding";
const TEXT_POSITIONS: &str = "text.positional_embedding";

/// How a file's tensors differ from a model's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Differences {
    /// Asked for, not in the file: (name, the model's shape).
    pub missing: Vec<(String, Vec<i64>)>,
    /// In the file, not asked for: (name, the file's shape).
    pub extra: Vec<(String, Vec<i64>)>,
    /// (name, the model's shape, the file's shape)
    pub misshaped: Vec<(String, Vec<i64>, Vec<i64>)>,
}

impl Differences {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshaped.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.missing.len() + self.extra.len() + self.misshaped.len()
    }

    /// As many as a person reads; a config of quite another model gives hundreds.
    pub fn brief(&self, path: &std::path::Path) -> String {
        const MOST: usize = 40;
        let all = self.to_string();
        let mut lines: Vec<&str> = all.lines().take(MOST).collect();
        let more = format!(
            "  and {} more: `cocaptain models inspect {}` says which config fits, with --model_config it lists all",
            self.len().saturating_sub(MOST),
            path.display()
        );
        if self.len() > MOST {
            lines.push(&more);
        }
        lines.join("\n")
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut lines = Vec::new();
        for (name, model, file) in &self.misshaped {
            lines.push(format!("  {name}: shape {file:?} in the file, {model:?} in the model"));
        }
        for (name, model) in &self.missing {
            lines.push(format!("  {name}: missing in the file, {model:?} in the model"));
        }
        for (name, file) in &self.extra {
            lines.push(format!("  {name}: shape {file:?} in the file, not in the model"));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl WeightsFile {
    /// How the file differs from these names and shapes. A scalar may be stored as `[1]` and the other way round;
    /// masks that old open_clip files carry are not counted.
    pub fn differences<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, &'a [i64])>) -> Differences {
        let mut differences = Differences::default();
        let mut known = std::collections::HashSet::new();
        for (name, shape) in wanted {
            known.insert(name);
            match self.tensor(name) {
                None => differences.missing.push((name.to_owned(), shape.to_vec())),
                Some(found) => {
                    let found = signed(&found.shape);
                    if found != shape && !(is_single(&found) && is_single(shape)) {
                        differences.misshaped.push((name.to_owned(), shape.to_vec(), found));
                    }
                }
            }
        }
        for tensor in self.tensors() {
            if !known.contains(tensor.name.as_str()) && !is_buffer(&tensor.name) {
                differences.extra.push((tensor.name.clone(), signed(&tensor.shape)));
            }
        }
        differences
    }

    /// How the file differs from a model: as [`WeightsFile::differences`], but learned positions of another number
    /// are none, because [`WeightsFile::parameter`] makes them fit.
    pub fn differences_from_model(&self, specs: &[ParameterSpec]) -> Differences {
        let mut differences = self.differences(specs.iter().map(|s| (s.name.as_str(), s.shape.as_slice())));
        differences.misshaped.retain(|(name, model, file)| !can_resize(name, model, file));
        differences
    }

    /// Checks that the file holds a model of these parameters.
    ///
    /// # Errors
    /// [`WeightsError::Mismatch`], which lists every difference, and [`WeightsError::Dtype`].
    pub fn check_model(&self, specs: &[ParameterSpec]) -> Result<(), WeightsError> {
        let differences = self.differences_from_model(specs);
        if !differences.is_empty() {
            return Err(WeightsError::Mismatch { path: self.path().to_owned(), differences });
        }
        for spec in specs {
            if let Some(tensor) = self.tensor(&spec.name).filter(|t| !t.dtype.is_float()) {
                let (path, name) = (self.path().to_owned(), spec.name.clone());
                return Err(WeightsError::Dtype { path, name, dtype: tensor.dtype });
            }
        }
        Ok(())
    }

    /// One parameter of a model, in its shape and in the type that the file stores; learned positions of another
    /// number are resized as open_clip does, and are float32 then.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Mismatch`] and [`WeightsError::Dtype`].
    pub fn parameter(&self, spec: &ParameterSpec) -> Result<Data<'_>, WeightsError> {
        let mut data = self.data(&spec.name)?;
        let stored = signed(&data.shape);
        let shape: Vec<usize> = spec.shape.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect();
        if stored == spec.shape || (is_single(&stored) && is_single(&spec.shape)) {
            data.shape = shape;
            return Ok(data);
        }
        if !can_resize(&spec.name, &spec.shape, &stored) {
            let misshaped = vec![(spec.name.clone(), spec.shape.clone(), stored)];
            let differences = Differences { misshaped, ..Differences::default() };
            return Err(WeightsError::Mismatch { path: self.path().to_owned(), differences });
        }
        let (rows, width) = (shape.first().copied().unwrap_or(0), shape.last().copied().unwrap_or(0));
        let old = self.floats(&spec.name)?;
        let new = if spec.name == IMAGE_POSITIONS {
            resize_image_positions(&old, width, (rows - 1).isqrt())
        } else {
            resize_text_positions(&old, width, rows)
        };
        let bytes = Cow::Owned(new.into_iter().flat_map(f32::to_le_bytes).collect());
        Ok(Data { dtype: Dtype::F32, shape, bytes })
    }
}

/// Whether a table of positions can be made one of another number of rows.
fn can_resize(name: &str, model: &[i64], file: &[i64]) -> bool {
    let (&[rows, width], &[old, old_width]) = (model, file) else { return false };
    let square = |n: i64| n > 1 && (n - 1).isqrt().pow(2) == n - 1;
    width == old_width
        && match name {
            IMAGE_POSITIONS => square(rows) && square(old),
            TEXT_POSITIONS => rows > 0 && old > 0,
            _ => false,
        }
}

fn signed(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect()
}

fn is_single(shape: &[i64]) -> bool {
    matches!(shape, [] | [1])
}

/// Buffers that old open_clip files carry; the model computes them.
fn is_buffer(name: &str) -> bool {
    matches!(name, "text.attn_mask" | "text_decoder.attn_mask")
}
