//! Tensors on disk, in safetensors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use tch::{Device, Kind, Tensor};

use crate::model::{ModelError, ParameterSpec, Parameters};

/// Why tensors cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{path}: not a readable safetensors file ({reason})")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor of a type that is not read here.
    #[error("{path}: tensor {name:?} is {dtype}; float32, float16, bfloat16 and int64 can be read")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The file's tensors are not the model's.
    #[error("{path}: the tensors do not fit the model config:\n{differences}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Every tensor that is missing, surplus or of another shape.
        differences: Differences,
    },
    /// The tensors do not make a store.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// How a file's tensors differ from a model's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Differences {
    /// Asked for, not in the file.
    pub missing: Vec<String>,
    /// In the file, not asked for.
    pub extra: Vec<String>,
    /// (name, the model's shape, the file's shape)
    pub misshaped: Vec<(String, Vec<i64>, Vec<i64>)>,
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshaped.is_empty()
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut lines = Vec::new();
        for (name, expected, found) in &self.misshaped {
            lines.push(format!("  {name}: shape {found:?}, the model has {expected:?}"));
        }
        lines.extend(self.missing.iter().map(|name| format!("  {name}: missing")));
        lines.extend(self.extra.iter().map(|name| format!("  {name}: not in the model")));
        f.write_str(&lines.join("\n"))
    }
}

/// A safetensors file, mapped: tensors are read when asked for.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    map: Mmap,
}

impl WeightsFile {
    /// Maps the file. It must not be changed by others while it is open.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is only read. A file cut short by another process meanwhile ends this process with
        // SIGBUS; weights files are written under another name and renamed, never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let opened = Self { path: path.to_owned(), map };
        opened.parsed()?;
        Ok(opened)
    }

    fn parsed(&self) -> Result<SafeTensors<'_>, WeightsError> {
        SafeTensors::deserialize(&self.map)
            .map_err(|e| WeightsError::Format { path: self.path.clone(), reason: e.to_string() })
    }

    /// Names and shapes.
    pub fn shapes(&self) -> Result<BTreeMap<String, Vec<i64>>, WeightsError> {
        let parsed = self.parsed()?;
        Ok(parsed.iter().map(|(name, view)| (name.to_owned(), shape_of(&view))).collect())
    }

    /// Every tensor in its own type, by name.
    pub fn all(&self, device: Device) -> Result<Vec<(String, Tensor)>, WeightsError> {
        let parsed = self.parsed()?;
        let mut names: Vec<&str> = parsed.names().into_iter().collect();
        names.sort_unstable();
        let mut out = Vec::with_capacity(names.len());
        for name in names {
            let view = self.view(&parsed, name)?;
            out.push((name.to_owned(), self.tensor(name, &view, None, device)?));
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
        let mut found = self.shapes()?;
        let mut differences = Differences::default();
        for (name, shape) in wanted {
            match found.remove(name) {
                None => differences.missing.push(name.clone()),
                Some(other) if other == *shape || (is_single(&other) && is_single(shape)) => {}
                Some(other) => differences.misshaped.push((name.clone(), shape.clone(), other)),
            }
        }
        differences.extra = found.into_keys().filter(|name| !is_buffer(name)).collect();
        if !differences.is_empty() {
            return Err(WeightsError::Mismatch { path: self.path.clone(), differences });
        }
        let parsed = self.parsed()?;
        let mut out = Vec::with_capacity(wanted.len());
        for (name, shape) in wanted {
            let view = self.view(&parsed, name)?;
            let tensor = self.tensor(name, &view, Some(kind), device)?.f_reshape(shape)?;
            out.push((name.clone(), tensor));
        }
        Ok(out)
    }

    /// The parameters of a model, as float32.
    pub fn parameters(&self, specs: &[ParameterSpec], device: Device) -> Result<Parameters, WeightsError> {
        let wanted: Vec<_> = specs.iter().map(|spec| (spec.name.clone(), spec.shape.clone())).collect();
        Ok(Parameters::from_named(self.exactly(&wanted, Kind::Float, device)?)?)
    }

    fn view<'a>(&self, parsed: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, WeightsError> {
        let reason = |e: safetensors::SafeTensorError| e.to_string();
        parsed.tensor(name).map_err(|e| WeightsError::Format { path: self.path.clone(), reason: reason(e) })
    }

    /// A copy of one tensor on `device`, converted on the way.
    fn tensor(
        &self,
        name: &str,
        view: &TensorView,
        kind: Option<Kind>,
        device: Device,
    ) -> Result<Tensor, WeightsError> {
        let stored = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I64 => Kind::Int64,
            other => {
                let (path, name) = (self.path.clone(), name.to_owned());
                return Err(WeightsError::Dtype { path, name, dtype: format!("{other:?}") });
            }
        };
        let mut out = Tensor::f_empty(shape_of(view), (kind.unwrap_or(stored), device))?;
        if out.numel() > 0 {
            // from_data_size copies the bytes once more, so a tensor at a time is all the surplus there is.
            out.f_copy_(&Tensor::f_from_data_size(view.data(), &shape_of(view), stored)?)?;
        }
        Ok(out)
    }
}

fn shape_of(view: &TensorView) -> Vec<i64> {
    view.shape().iter().map(|n| *n as i64).collect()
}

fn is_single(shape: &[i64]) -> bool {
    matches!(shape, [] | [1])
}

/// Buffers that old open_clip files carry; the model computes them.
fn is_buffer(name: &str) -> bool {
    matches!(name, "text.attn_mask" | "text_decoder.attn_mask")
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
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable as any other new file, not by the owner alone as a temporary file would be.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let temporary = tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map_err(io)?;
    safetensors::serialize_to_file(stored, None, temporary.path())
        .map_err(|e| WeightsError::Format { path: path.to_owned(), reason: e.to_string() })?;
    File::open(temporary.path()).and_then(|file| file.sync_all()).map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
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
        for part in ["a: shape [2, 3], the model has [3, 2]", "c: missing", "b: not in the model"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        assert!(matches!(WeightsFile::open(&path), Err(WeightsError::Io { .. })));
        write(&path, named(vec![("a", Tensor::from(1.0f32))])).unwrap();
        let good = std::fs::read(&path).unwrap();
        for bytes in [&b""[..], &b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"[..], &good[..good.len() - 1]] {
            std::fs::write(&path, bytes).unwrap();
            let error = WeightsFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{error}");
        }
    }
}
