//! The index of a safetensors file.

use safetensors::{Dtype as Stored, SafeTensors};

use super::{Piece, StoredTensor};
use crate::Dtype;

/// Says what tensors there are, by name. The `safetensors` crate checks the header: its length, that offsets follow
/// one another without holes up to the file's end, that each tensor's length is its shape's.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let parsed = SafeTensors::deserialize(bytes).map_err(|e| format!("as safetensors: {e}"))?;
    let mut out = Vec::new();
    for (name, view) in parsed.iter() {
        let dtype = match view.dtype() {
            Stored::F64 => Dtype::F64,
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::BF16,
            Stored::I64 => Dtype::I64,
            Stored::I32 => Dtype::I32,
            Stored::I16 => Dtype::I16,
            Stored::I8 => Dtype::I8,
            Stored::U8 => Dtype::U8,
            Stored::BOOL => Dtype::Bool,
            other => return Err(format!("tensor {name:?} is of type {other:?}, which is not read here")),
        };
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        let piece = Piece::contiguous(start, view.shape())
            .ok_or_else(|| format!("tensor {name:?} is larger than can be"))?;
        out.push(StoredTensor::whole(name.to_owned(), dtype, piece));
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
