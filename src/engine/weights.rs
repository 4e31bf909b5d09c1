//! Tensors from weight files, and tensors to safetensors.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use models::shard::Slice;
use models::{Data, Pieces};
use safetensors::{Dtype, View};
use tch::{Device, Kind, Tensor};

use crate::model::{ModelError, ParameterSpec, Parameters};

/// Bytes of a float32.
const FLOAT: usize = 4;

/// Why tensors cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written, or its tensors are not the ones that are asked for.
    #[error(transparent)]
    File(#[from] models::WeightsError),
    /// A tensor of a type that is not read or written here.
    #[error("{}: tensor {name:?} is {dtype}; float32, float16, bfloat16 and int64 can be stored", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The tensors do not make a store.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// A weights file of any format, mapped: tensors are read when asked for.
#[derive(Debug)]
pub struct WeightsFile(models::WeightsFile);

impl WeightsFile {
    /// Maps the file. It must not be changed by others while it is open.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Ok(Self(models::WeightsFile::open(path)?))
    }

    /// Every tensor in its own type, by name.
    pub fn all(&self, device: Device) -> Result<Vec<(String, Tensor)>, WeightsError> {
        let mut out = Vec::with_capacity(self.0.tensors().len());
        for stored in self.0.tensors() {
            out.push((
                stored.name.clone(),
                self.tensor(&stored.name, &self.0.data(&stored.name)?, None, device)?,
            ));
        }
        Ok(out)
    }

    /// Exactly the tensors of these names and shapes, in this order, as `kind`. A scalar may be stored as
    /// `[1]` and the other way round. Anything else that differs is listed in full.
    pub fn exactly(
        &self,
        wanted: &[(String, Vec<i64>)],
        kind: Kind,
        device: Device,
    ) -> Result<Vec<(String, Tensor)>, WeightsError> {
        let differences =
            self.0.differences(wanted.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())));
        if !differences.is_empty() {
            let path = self.0.path().to_owned();
            return Err(models::WeightsError::Mismatch { path, differences }.into());
        }
        let mut out = Vec::with_capacity(wanted.len());
        for (name, shape) in wanted {
            let tensor = self.tensor(name, &self.0.data(name)?, Some(kind), device)?;
            out.push((name.clone(), tensor.f_reshape(shape)?));
        }
        Ok(out)
    }

    /// The parameters of a model, as float32. Learned positions for pictures or texts of another size are resized.
    pub fn parameters(&self, specs: &[ParameterSpec], device: Device) -> Result<Parameters, WeightsError> {
        self.0.check_model(specs)?;
        let mut named = Vec::with_capacity(specs.len());
        for spec in specs {
            let tensor = self.tensor(&spec.name, &self.0.parameter(spec)?, Some(Kind::Float), device)?;
            named.push((spec.name.clone(), tensor));
        }
        Ok(Parameters::from_named(named)?)
    }

    /// Whether the file has exactly the tensors of these names and shapes; what differs is listed in full.
    pub fn check(&self, wanted: &[(String, Vec<i64>)]) -> Result<(), WeightsError> {
        let wanted = wanted.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
        let differences = self.0.differences(wanted);
        if differences.is_empty() {
            return Ok(());
        }
        Err(models::WeightsError::Mismatch { path: self.0.path().to_owned(), differences }.into())
    }

    /// A piece of a float32 tensor, one axis: elements `range` of a rank's part.
    pub fn piece(&self, name: &str, slice: &Slice, range: Range<usize>) -> Result<Tensor, WeightsError> {
        let data = self.0.data(name)?;
        let wrong = |dtype: String| WeightsError::Dtype {
            path: self.0.path().to_owned(),
            name: name.to_owned(),
            dtype,
        };
        if data.dtype != models::Dtype::F32 {
            return Err(wrong(data.dtype.to_string()));
        }
        let mut bytes = Vec::with_capacity(range.len() * FLOAT);
        for run in slice.runs(range) {
            let stretch = data.bytes.get(run.whole * FLOAT..(run.whole + run.len) * FLOAT);
            bytes.extend_from_slice(stretch.ok_or_else(|| wrong("shorter than its part".to_owned()))?);
        }
        Ok(Tensor::f_from_data_size(&bytes, &[(bytes.len() / FLOAT) as i64], Kind::Float)?)
    }

    /// A copy of one tensor on `device`, converted on the way.
    fn tensor(
        &self,
        name: &str,
        data: &Data,
        kind: Option<Kind>,
        device: Device,
    ) -> Result<Tensor, WeightsError> {
        let stored = match data.dtype {
            models::Dtype::F64 => Kind::Double,
            models::Dtype::F32 => Kind::Float,
            models::Dtype::F16 => Kind::Half,
            models::Dtype::BF16 => Kind::BFloat16,
            models::Dtype::I64 => Kind::Int64,
            other => {
                let (path, name) = (self.0.path().to_owned(), name.to_owned());
                return Err(WeightsError::Dtype { path, name, dtype: other.to_string() });
            }
        };
        let shape: Vec<i64> = data.shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
        let mut out = Tensor::f_empty(&shape, (kind.unwrap_or(stored), device))?;
        if out.numel() > 0 {
            // from_data_size copies the bytes once more, so a tensor at a time is all the surplus there is.
            out.f_copy_(&Tensor::f_from_data_size(&data.bytes, &shape, stored)?)?;
        }
        Ok(out)
    }
}

/// Writes elements `range` of a rank's part of a float32 tensor where they belong in the whole.
pub fn write_piece(
    file: &Pieces,
    name: &str,
    (slice, range): (&Slice, Range<usize>),
    values: &Tensor,
) -> Result<(), WeightsError> {
    let values = values.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let stored = Stored { dtype: Dtype::F32, shape: vec![values.numel()], tensor: values };
    let bytes = stored.data();
    let begin = range.start;
    for run in slice.runs(range) {
        let at = (run.here - begin) * FLOAT;
        let stretch = bytes.get(at..at + run.len * FLOAT).unwrap_or_default();
        file.write(name, run.whole, stretch)?;
    }
    Ok(())
}

/// A contiguous CPU tensor, as the safetensors writer wants to see it.
struct Stored {
    tensor: Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        if self.data_len() == 0 {
            return Cow::Borrowed(&[]);
        }
        // SAFETY: the tensor is contiguous, on the CPU, holds data_len() bytes and lives as long as self.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast(), self.data_len()) })
    }
    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// Writes tensors (float32, float16, bfloat16 or int64, on any device) under a temporary name beside `path`,
/// syncs, and renames: `path` is complete or as it was.
pub fn write(path: &Path, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<(), WeightsError> {
    let mut stored = Vec::new();
    for (name, tensor) in tensors {
        let dtype = match tensor.f_kind()? {
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Int64 => Dtype::I64,
            other => {
                let dtype = format!("{other:?}");
                return Err(WeightsError::Dtype { path: path.to_owned(), name, dtype });
            }
        };
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let shape = tensor.size().into_iter().map(|n| n as usize).collect();
        stored.push((name, Stored { tensor, dtype, shape }));
    }
    Ok(models::write_safetensors(path, stored)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn named(tensors: Vec<(&str, Tensor)>) -> Vec<(String, Tensor)> {
        tensors.into_iter().map(|(name, t)| (name.to_owned(), t)).collect()
    }

    #[test]
    fn tensors_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let a = Tensor::from_slice(&[1.5f32, -2.0, 3.25, 0.0, 5.0, 6.0]).view([2, 3]);
        let tensors = vec![
            ("a", a.shallow_clone()),
            ("transposed", a.tr()),
            ("half", a.to_kind(Kind::Half)),
            ("brain", a.to_kind(Kind::BFloat16)),
            ("scalar", Tensor::from(7.0f32)),
            ("ids", Tensor::from_slice(&[3i64, 4])),
            ("empty", Tensor::zeros([0, 4], (Kind::Float, Device::Cpu))),
        ];
        write(&path, named(tensors)).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        let all: BTreeMap<_, _> = file.all(Device::Cpu).unwrap().into_iter().collect();
        assert_eq!(all.len(), 7);
        assert_eq!(all["transposed"], a.tr().contiguous());
        assert_eq!((all["half"].kind(), all["brain"].kind()), (Kind::Half, Kind::BFloat16));
        assert_eq!(all["scalar"].size(), Vec::<i64>::new());
        assert_eq!(all["ids"].int64_value(&[1]), 4);
        assert_eq!(all["empty"].size(), [0, 4]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn differences_are_listed_by_name_with_both_shapes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Half, Device::Cpu));
        let stored = vec![
            ("scale", zeros(&[1])),
            ("a", zeros(&[2, 3])),
            ("b", zeros(&[4])),
            ("text.attn_mask", zeros(&[2, 2])),
        ];
        write(&path, named(stored)).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        let want = |list: &[(&str, &[i64])]| -> Vec<(String, Vec<i64>)> {
            list.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect()
        };

        let good = want(&[("b", &[4]), ("scale", &[]), ("a", &[2, 3])]);
        let read = file.exactly(&good, Kind::Float, Device::Cpu).unwrap();
        assert_eq!(read[1].1.size(), Vec::<i64>::new());
        assert_eq!((read[2].0.as_str(), read[2].1.kind()), ("a", Kind::Float));

        let bad = want(&[("scale", &[]), ("a", &[3, 2]), ("c", &[1])]);
        let said = file.exactly(&bad, Kind::Float, Device::Cpu).unwrap_err().to_string();
        for part in [
            "a: shape [2, 3] in the file, [3, 2] in the model",
            "c: missing in the file, [1]",
            "b: shape [4] in the file, not in the model",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        assert!(matches!(WeightsFile::open(&path), Err(WeightsError::File(models::WeightsError::Io { .. }))));
        write(&path, named(vec![("a", Tensor::from(1.0f32))])).unwrap();
        let good = std::fs::read(&path).unwrap();
        for bytes in [&b""[..], &b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"[..], &good[..good.len() - 1]] {
            std::fs::write(&path, bytes).unwrap();
            let error = WeightsFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{error}");
        }
    }
}
