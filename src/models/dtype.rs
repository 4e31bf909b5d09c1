//! What numbers a stored tensor holds.

use std::borrow::Cow;

/// Type of a stored tensor's numbers, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Its name, as safetensors writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// Whether its numbers are floats: what a parameter may be stored as.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Bytes of this type as float32; none where the type is no float.
    pub fn to_f32(self, bytes: &[u8]) -> Option<Vec<f32>> {
        let pairs = || bytes.as_chunks::<2>().0.iter().copied();
        Some(match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            Self::F16 => pairs().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
            Self::BF16 => pairs().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
            _ => return None,
        })
    }

    /// Floats of this type as bytes of another, rounded to nearest even; none where either type is no float.
    pub fn convert(self, bytes: Cow<'_, [u8]>, to: Self) -> Option<Cow<'_, [u8]>> {
        if self == to {
            return Some(bytes);
        }
        let numbers = self.to_f32(&bytes)?;
        Some(Cow::Owned(match to {
            Self::F32 => numbers.into_iter().flat_map(f32::to_le_bytes).collect(),
            Self::F16 => numbers.into_iter().flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
            Self::BF16 => numbers.into_iter().flat_map(|x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            _ => return None,
        }))
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
