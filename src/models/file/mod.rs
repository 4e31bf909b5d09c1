//! Weight files of every format, behind one interface: what tensors a file has, and the bytes of each.
//!
//! A file is mapped, never read whole: a tensor's bytes are taken from the map when asked for, and copied only where
//! the file holds them in another order (transposed, strided, in parts).

mod paddle;
mod pickle;
mod safetensors;
mod state_dict;
mod stored;
mod torch;
mod zip;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::Dtype;
use crate::fit::Differences;

use stored::Piece;
pub use stored::StoredTensor;

/// Why weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// Not a weights file, or a damaged or hostile one.
    #[error("{}: not a readable weights file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that is no parameter: not floats.
    #[error("{}: tensor {name:?} is {dtype}: parameters are F32, F16, BF16 or F64", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// The weights cannot be written.
    #[error("{}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No tensor of that name.
    #[error("{}: no tensor is named {name:?}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The file's tensors are not the model's.
    #[error("{}: the tensors do not fit the model config; differences: {}\n{}", path.display(), differences.len(), differences.brief(path))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Every tensor that is missing, surplus or of another shape.
        differences: Differences,
    },
}

/// What kind of file the weights are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// PyTorch's zip archive (torch.save since 1.6).
    TorchZip,
    /// PyTorch's older form: pickles, then storages.
    TorchLegacy,
    /// PaddlePaddle's pickle of NumPy arrays (paddle.save), under PaddleMIX's names.
    Paddle,
}

impl Format {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch zip",
            Self::TorchLegacy => "PyTorch (before 1.6)",
            Self::Paddle => "PaddlePaddle",
        }
    }
}

/// A tensor's numbers: row-major, little-endian.
#[derive(Debug)]
pub struct Data<'a> {
    /// Their type.
    pub dtype: Dtype,
    /// The tensor's shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its bytes: borrowed from the mapped file wherever it holds them in this order.
    pub bytes: Cow<'a, [u8]>,
}

/// A weights file, mapped. Tensors bear open_clip's names whatever the format: `module.` is cut off, PaddleMIX's
/// names and layouts are translated.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    map: Mmap,
    format: Format,
    tensors: Vec<StoredTensor>,
    index: HashMap<String, usize>,
}

impl WeightsFile {
    /// Maps the file and reads what tensors there are; every length and offset is checked here. The file must not
    /// be changed by others while it is open.
    ///
    /// # Errors
    /// The file system's, or [`WeightsError::Format`] with what is wrong.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        // SAFETY: the map is only read. A file cut short by another process meanwhile ends this process with
        // SIGBUS; weights files are written under another name and renamed, never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let wrong = |reason: String| WeightsError::Format { path: path.to_owned(), reason };
        let (format, mut tensors) = read_index(&map).map_err(wrong)?;
        cut_prefix(&mut tensors);
        let mut index = HashMap::with_capacity(tensors.len());
        for (i, tensor) in tensors.iter().enumerate() {
            tensor.check(map.len()).map_err(wrong)?;
            if index.insert(tensor.name.clone(), i).is_some() {
                return Err(wrong(format!("two tensors are named {:?}", tensor.name)));
            }
        }
        Ok(Self { path: path.to_owned(), map, format, tensors, index })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What tensors there are, in the file's order.
    pub fn tensors(&self) -> &[StoredTensor] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&StoredTensor> {
        self.index.get(name).and_then(|i| self.tensors.get(*i))
    }

    /// A tensor's numbers, in the type that the file stores.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn data(&self, name: &str) -> Result<Data<'_>, WeightsError> {
        let missing = || WeightsError::Missing { path: self.path.clone(), name: name.to_owned() };
        let tensor = self.tensor(name).ok_or_else(missing)?;
        Ok(Data { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes: tensor.bytes(&self.map) })
    }

    /// A tensor's numbers as float32.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], and [`WeightsError::Dtype`] where they are no floats.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let data = self.data(name)?;
        let wrong =
            || WeightsError::Dtype { path: self.path.clone(), name: name.to_owned(), dtype: data.dtype };
        data.dtype.to_f32(&data.bytes).ok_or_else(wrong)
    }
}

/// Finds out what kind of file it is, by its first bytes, and what tensors it has.
fn read_index(bytes: &[u8]) -> Result<(Format, Vec<StoredTensor>), String> {
    match bytes {
        [] => Err("it is empty".to_owned()),
        [b'P', b'K', 3 | 5, _, ..] => Ok((Format::TorchZip, torch::read_zip(bytes)?)),
        [0x80, ..] if torch::is_legacy(bytes) => Ok((Format::TorchLegacy, torch::read_legacy(bytes)?)),
        // PROTO 2 to 5: a header of safetensors would be of this many million bytes with `{` at its ninth.
        [0x80, 2..=5, rest @ ..] if rest.get(6) != Some(&b'{') => Ok((Format::Paddle, paddle::read(bytes)?)),
        _ => {
            let hint = match bytes.get(257..262) {
                Some(b"ustar") => " (it is a tar archive, as PyTorch wrote before 0.2: save the file anew)",
                _ if bytes.starts_with(b"version https://git-lfs") => {
                    " (it is a Git LFS pointer, not the file: fetch it with `git lfs pull`)"
                }
                _ => "",
            };
            Ok((Format::Safetensors, safetensors::read(bytes).map_err(|e| e + hint)?))
        }
    }
}

/// Cuts off what DistributedDataParallel (and torch.compile) put before every name.
fn cut_prefix(tensors: &mut [StoredTensor]) {
    for prefix in ["module.", "_orig_mod.", "module."] {
        if !tensors.is_empty() && tensors.iter().all(|t| t.name.starts_with(prefix)) {
            for tensor in tensors.iter_mut() {
                tensor.name.drain(..prefix.len());
            }
        }
    }
}
