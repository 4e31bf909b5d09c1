//! What calls in a pickle stand for.

use super::value::{Array, Global, Id, NumpyCode, Storage, Value, View, text, value};
use crate::Dtype;
use crate::file::stored::MOST_AXES;

/// What calling a known name with these arguments makes.
pub fn call(bytes: &[u8], values: &[Value], function: Id, arguments: Id) -> Result<Value, String> {
    let Value::Global(function) = value(values, function) else {
        return Err(format!("calls {}", value(values, function).kind()));
    };
    let Value::Tuple(arguments) = value(values, arguments) else {
        return Err("calls with arguments that are no tuple".to_owned());
    };
    let argument = |i: usize| arguments.get(i).map_or(&Value::Nothing, |id| value(values, *id));
    match function {
        Global::OrderedDict => ordered_dict(values, arguments),
        Global::RebuildTensor => {
            let storage = *arguments.first().ok_or("a tensor without a storage")?;
            if !matches!(value(values, storage), Value::Storage(_)) {
                return Err(format!("a tensor whose storage is {}", value(values, storage).kind()));
            }
            let offset = size(argument(1)).ok_or("a tensor's offset that is no size")?;
            let shape = sizes(values, argument(2)).ok_or("a tensor's shape that is no list of sizes")?;
            let strides = sizes(values, argument(3))
                .ok_or("a tensor's strides that are no list of sizes (negative?)")?;
            Ok(Value::Tensor(View { storage, offset, shape, strides }))
        }
        Global::RebuildParameter => match argument(0) {
            tensor @ Value::Tensor(_) => Ok(tensor.clone()),
            other => Err(format!("a Parameter that is {}", other.kind())),
        },
        Global::Size => Ok(argument(0).clone()),
        Global::Inert | Global::NumpyScalar => Ok(Value::Nothing),
        Global::Encode => match (argument(0), argument(1)) {
            (Value::Text(range), Value::Text(code)) if text(bytes, code) == Some("latin1") => {
                Ok(Value::Latin1(range.clone()))
            }
            (other, _) => Err(format!("bytes made of {}, where only Latin-1 text is read", other.kind())),
        },
        Global::EmptyBytes if arguments.is_empty() => Ok(Value::Bytes(0..0)),
        Global::EmptyBytes => Err("bytes made of something".to_owned()),
        Global::ReconstructArray => match argument(0) {
            Value::Global(Global::ArrayClass) => Ok(Value::Array(None)),
            other => Err(format!("an array whose class is {}", other.kind())),
        },
        Global::NumpyDtype => {
            let Value::Text(code) = argument(0) else { return Err("a NumPy type without a name".to_owned()) };
            let code = text(bytes, code).unwrap_or("?");
            let known = numpy_code(code).ok_or_else(|| format!("NumPy type {code:?} is not read here"))?;
            Ok(Value::NumpyType { code: known, little: true })
        }
        Global::StorageOf(_) | Global::ArrayClass => Err("calls a class that only names a type".to_owned()),
    }
}

/// OrderedDict(), or of a list of pairs.
fn ordered_dict(values: &[Value], arguments: &[Id]) -> Result<Value, String> {
    let Some(first) = arguments.first() else { return Ok(Value::Dict(Vec::new())) };
    let Value::List(pairs) = value(values, *first) else {
        return Err("an OrderedDict that is not made of a list".to_owned());
    };
    let pair = |id: &Id| match value(values, *id) {
        Value::Tuple(parts) | Value::List(parts) => match parts.as_slice() {
            [k, v] => Some((*k, *v)),
            _ => None,
        },
        _ => None,
    };
    let entries: Option<Vec<_>> = pairs.iter().map(pair).collect();
    entries.map(Value::Dict).ok_or_else(|| "an OrderedDict of something else than pairs".to_owned())
}

/// What setting a state makes of an object; none: it stays as it is.
pub fn build(values: &[Value], object: Id, state: Id) -> Result<Option<Value>, String> {
    let state = value(values, state);
    let part = |i: usize| match state {
        Value::Tuple(parts) => parts.get(i).map_or(&Value::Nothing, |id| value(values, *id)),
        _ => &Value::Nothing,
    };
    match value(values, object) {
        // Attributes of a dict (a state dict's `_metadata`), of a tensor or of an inert object.
        Value::Dict(_) | Value::Tensor(_) | Value::Nothing => Ok(None),
        // (version, byte order, ...)
        Value::NumpyType { code, .. } => {
            let Value::Text(order) = part(1) else {
                return Err("a NumPy type whose byte order is not told".to_owned());
            };
            // '<' little, '>' big, '|' single bytes: told apart by the caller's bytes.
            Ok(Some(Value::NumpyType { code: *code, little: order.len() == 1 }))
        }
        // (version, shape, type, column-major, bytes)
        Value::Array(_) => {
            let shape = sizes(values, part(1)).ok_or("an array's shape that is no tuple of sizes")?;
            let Value::NumpyType { code, little: true } = part(2) else {
                return Err("an array whose numbers are not little-endian or of no known type".to_owned());
            };
            let Value::Bool(fortran) = part(3) else {
                return Err("an array whose order is not told".to_owned());
            };
            let (bytes, latin1) = match part(4) {
                Value::Bytes(bytes) => (bytes.clone(), false),
                Value::Latin1(text) => (text.clone(), true),
                other => return Err(format!("an array whose numbers are {}, not bytes", other.kind())),
            };
            let dtype = match code {
                NumpyCode::Known(dtype) => *dtype,
                NumpyCode::U16 => Dtype::BF16,
            };
            Ok(Some(Value::Array(Some(Array { dtype, shape, fortran: *fortran, bytes, latin1 }))))
        }
        other => Err(format!("sets the state of {}", other.kind())),
    }
}

/// ('storage', type, key, place, numbers[, view])
pub fn persistent(bytes: &[u8], values: &[Value], id: Id) -> Result<Value, String> {
    let Value::Tuple(parts) = value(values, id) else {
        return Err("a persistent id that is no tuple".to_owned());
    };
    let part = |i: usize| parts.get(i).map_or(&Value::Nothing, |id| value(values, *id));
    match part(0) {
        Value::Text(tag) if text(bytes, tag) == Some("storage") => {}
        Value::Text(tag) => {
            let tag = text(bytes, tag).unwrap_or("?");
            return Err(format!("a persistent {tag:?}, where only storages are read"));
        }
        other => return Err(format!("a persistent id that begins with {}", other.kind())),
    }
    let Value::Global(Global::StorageOf(dtype)) = part(1) else {
        return Err("a storage of no known type".to_owned());
    };
    let Value::Text(key) = part(2) else { return Err("a storage without a key".to_owned()) };
    let numbers = size(part(4)).ok_or("a storage whose length is no size")?;
    if !matches!(part(5), Value::Nothing) {
        return Err(
            "a storage that is a view of another, as PyTorch 0.4 wrote: save the file anew".to_owned()
        );
    }
    Ok(Value::Storage(Storage { key: key.clone(), dtype: *dtype, numbers }))
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}

fn sizes(values: &[Value], list: &Value) -> Option<Vec<usize>> {
    match list {
        Value::Tuple(parts) | Value::List(parts) => {
            // No tensor has this many axes; the caller says so with its name.
            parts.iter().take(MOST_AXES + 1).map(|id| size(value(values, *id))).collect()
        }
        _ => None,
    }
}

fn numpy_code(code: &str) -> Option<NumpyCode> {
    Some(NumpyCode::Known(match code.trim_start_matches(['<', '|', '=']) {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        "u2" => return Some(NumpyCode::U16),
        _ => return None,
    }))
}
