//! What a pickle holds.

use std::ops::Range;

use crate::Dtype;

/// A value's place in the table of values.
pub type Id = u32;

/// A value. Compound values name their parts by place.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`, and values whose content does not matter here (a device, a number from NumPy).
    Nothing,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: its bytes.
    Long(Range<usize>),
    Float(f64),
    /// UTF-8 in the file.
    Text(Range<usize>),
    /// Bytes in the file.
    Bytes(Range<usize>),
    /// Bytes as Python pickles them before protocol 3: UTF-8 text, each of whose characters stands for a byte.
    Latin1(Range<usize>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Keys with values, in order, as they were set.
    Dict(Vec<(Id, Id)>),
    /// Something that may be called or named.
    Global(Global),
    /// A storage of a PyTorch file.
    Storage(Storage),
    /// A tensor of a PyTorch file: a view of a storage.
    Tensor(View),
    /// A NumPy type: the numbers' type, and whether they are little-endian (or single bytes).
    NumpyType {
        code: NumpyCode,
        little: bool,
    },
    /// A NumPy array; none before its state is set.
    Array(Option<Array>),
}

/// NumPy's types that weights come in. `u2` is how PaddlePaddle stores bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumpyCode {
    Known(Dtype),
    U16,
}

/// A storage that a PyTorch file names.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// Its key: the name of the record that holds it.
    pub key: Range<usize>,
    pub dtype: Dtype,
    pub numbers: usize,
}

/// A strided view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub storage: Id,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A NumPy array's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Column-major.
    pub fortran: bool,
    pub bytes: Range<usize>,
    /// The bytes are written as text ([`Value::Latin1`]).
    pub latin1: bool,
}

/// The names that a state dict may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    /// torch.FloatStorage and its kin.
    StorageOf(Dtype),
    RebuildTensor,
    RebuildParameter,
    Size,
    /// A value of no consequence, whatever it is made of: torch.device.
    Inert,
    ReconstructArray,
    ArrayClass,
    NumpyDtype,
    NumpyScalar,
    /// `_codecs.encode`, which makes bytes of text.
    Encode,
    /// `bytes()`, which is empty.
    EmptyBytes,
}

impl Global {
    /// What a name stands for; none: it may not be used.
    pub fn named(module: &str, name: &str) -> Option<Self> {
        let dtype = |name: &str| {
            Some(match name {
                "DoubleStorage" => Dtype::F64,
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::Bool,
                _ => return None,
            })
        };
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", storage) if storage.ends_with("Storage") => Self::StorageOf(dtype(storage)?),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch", "Size") => Self::Size,
            ("torch", "device") => Self::Inert,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::ReconstructArray,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::NumpyScalar,
            ("_codecs", "encode") => Self::Encode,
            ("__builtin__" | "builtins", "bytes") => Self::EmptyBytes,
            ("numpy", "ndarray") => Self::ArrayClass,
            ("numpy", "dtype") => Self::NumpyDtype,
            _ => return None,
        })
    }
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub bytes: &'a [u8],
    pub values: Vec<Value>,
    pub root: Id,
    /// Where it ends in `bytes`.
    pub end: usize,
}

impl<'a> Pickle<'a> {
    pub fn value(&self, id: Id) -> &Value {
        value(&self.values, id)
    }

    pub fn root(&self) -> &Value {
        self.value(self.root)
    }

    /// The text of a value, if it is one.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.value(id) {
            Value::Text(range) => text(self.bytes, range),
            _ => None,
        }
    }

    /// A storage's key.
    pub fn key(&self, storage: &Storage) -> Option<&'a str> {
        text(self.bytes, &storage.key)
    }

    /// What a dict holds under a name; the last one where it was set twice.
    pub fn entry(&self, dict: &Value, key: &str) -> Option<Id> {
        let Value::Dict(entries) = dict else { return None };
        entries.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, v)| *v)
    }
}

pub fn text<'a>(bytes: &'a [u8], range: &Range<usize>) -> Option<&'a str> {
    bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

pub fn value(values: &[Value], id: Id) -> &Value {
    values.get(id as usize).unwrap_or(&Value::Nothing)
}

impl Value {
    /// How many parts it holds itself: what a copy of it takes.
    pub fn parts(&self) -> usize {
        match self {
            Self::Tuple(parts) | Self::List(parts) => parts.len(),
            Self::Dict(pairs) => 2 * pairs.len(),
            Self::Tensor(view) => view.shape.len() + view.strides.len(),
            Self::Array(Some(array)) => array.shape.len(),
            _ => 0,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "None or an inert object",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Long(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Bytes(_) | Self::Latin1(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::NumpyType { .. } => "a NumPy type",
            Self::Array(_) => "an array",
        }
    }
}
