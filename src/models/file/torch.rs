//! PyTorch's files: a pickle that names storages, and the storages' bytes.

use std::collections::HashMap;

use super::pickle::{self, Pickle, Storage, Value};
use super::state_dict::entries;
use super::zip::{self, Record};
use super::{Piece, StoredTensor};

/// The number that begins a file of the older form, as a pickled integer.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The older form's version.
const LEGACY_VERSION: i64 = 1001;

/// Where a storage is: its first byte, and how many bytes it has.
type Places<'a> = HashMap<&'a str, (usize, usize)>;

/// What tensors a zip archive has, as torch.save writes it since 1.6.
pub(super) fn read_zip(bytes: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let records = zip::records(bytes)?;
    let find = |name: &str| -> Option<&Record> {
        records.iter().find(|r| r.name.rsplit_once('/').is_some_and(|(_, last)| last == name))
    };
    if find("constants.pkl").is_some() {
        return Err("it is a TorchScript program, which is never run: save the model's state_dict".to_owned());
    }
    let index = find("data.pkl").ok_or("the zip archive has no data.pkl: torch.save did not write it")?;
    let folder = index.name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = find("byteorder") {
        let order = bytes.get(order.start..order.start + order.size).unwrap_or_default();
        if order != b"little" {
            return Err("its numbers are big-endian".to_owned());
        }
    }
    let within = bytes.get(..index.start + index.size).unwrap_or_default();
    let pickle = pickle::read(within, index.start)?;
    let mut places = Places::new();
    for record in &records {
        if let Some(key) = record.name.strip_prefix(folder).and_then(|rest| rest.strip_prefix("data/")) {
            places.insert(key, (record.start, record.size));
        }
    }
    tensors(&pickle, &places)
}

/// Whether a file begins as the older form does.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    // PROTO 2, LONG1 of 10 bytes.
    bytes.get(..4).is_some_and(|b| b[0] == 0x80 && b[2..] == [0x8a, 10]) && bytes.get(4..14) == Some(&MAGIC)
}

/// What tensors a file of the older form has: four pickles (magic, version, system, object), a list of keys, and for
/// each storage its length and its numbers.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let magic = pickle::read(bytes, 0)?;
    let version = pickle::read(bytes, magic.end)?;
    if *version.root() != Value::Int(LEGACY_VERSION) {
        return Err("a version of PyTorch's older form that is not known".to_owned());
    }
    let system = pickle::read(bytes, version.end)?;
    if let Some(little) = system.entry(system.root(), "little_endian")
        && *system.value(little) == Value::Bool(false)
    {
        return Err("its numbers are big-endian".to_owned());
    }
    let object = pickle::read(bytes, system.end)?;
    let keys = pickle::read(bytes, object.end)?;
    let storages: HashMap<&str, &Storage> = object
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => object.key(storage).map(|key| (key, storage)),
            _ => None,
        })
        .collect();
    let Value::List(list) = keys.root() else { return Err("no list of storages".to_owned()) };
    let (mut at, mut places) = (keys.end, Places::new());
    for id in list {
        let key = keys.text(*id).ok_or("a storage whose key is no string")?;
        let storage = storages.get(key).ok_or_else(|| format!("storage {key:?} belongs to no tensor"))?;
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u64::from_le_bytes(*b));
        let size = length
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n == storage.numbers)
            .and_then(|n| n.checked_mul(storage.dtype.size()))
            .filter(|size| *size <= bytes.len().saturating_sub(at + 8))
            .ok_or_else(|| {
                format!("storage {key:?} is cut off, or of another length than its tensors say")
            })?;
        places.insert(key, (at + 8, size));
        at += 8 + size;
    }
    tensors(&object, &places)
}

/// The state dict's tensors, each placed in its storage.
fn tensors(pickle: &Pickle, places: &Places) -> Result<Vec<StoredTensor>, String> {
    let mut out = Vec::new();
    for (name, id) in entries(pickle)? {
        let Value::Tensor(view) = pickle.value(id) else {
            return Err(format!("the state dict's {name:?} is {}, not a tensor", pickle.value(id).kind()));
        };
        let Value::Storage(storage) = pickle.value(view.storage) else {
            return Err(format!("tensor {name:?} has no storage"));
        };
        let key = pickle.key(storage).unwrap_or("?");
        let (start, size) =
            *places.get(key).ok_or_else(|| format!("tensor {name:?}: storage {key:?} is not in the file"))?;
        let bytes = storage.numbers.checked_mul(storage.dtype.size());
        if bytes.is_none_or(|bytes| bytes > size) {
            return Err(format!(
                "tensor {name:?}: storage {key:?} is said to hold {} numbers, but has {size} bytes",
                storage.numbers
            ));
        }
        if view.offset > storage.numbers {
            return Err(format!("tensor {name:?} begins outside of its storage"));
        }
        let piece = Piece {
            latin1: None,
            start: start + view.offset * storage.dtype.size(),
            numbers: storage.numbers - view.offset,
            shape: view.shape.clone(),
            strides: view.strides.clone(),
        };
        out.push(StoredTensor::whole(name.to_owned(), storage.dtype, piece));
    }
    Ok(out)
}
