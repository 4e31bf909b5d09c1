//! Which of a pickle's values is the state dict.

use super::pickle::{Id, Pickle, Value};

/// Under what a training checkpoint keeps its state dict.
const NESTED: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// Names and values of the state dict: the whole object, or what a checkpoint keeps under `state_dict`.
pub(super) fn entries<'a>(pickle: &Pickle<'a>) -> Result<Vec<(&'a str, Id)>, String> {
    let root = pickle.root();
    if !matches!(root, Value::Dict(_)) {
        return Err(format!("it holds {}, not a state dict", root.kind()));
    }
    let nested = NESTED
        .iter()
        .filter_map(|name| pickle.entry(root, name))
        .map(|id| pickle.value(id))
        .find(|value| matches!(value, Value::Dict(_)));
    let Value::Dict(pairs) = nested.unwrap_or(root) else { return Err("no state dict".to_owned()) };
    let mut out = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let name = pickle.text(*key);
        out.push((
            name.ok_or_else(|| format!("a key that is {}, not a name", pickle.value(*key).kind()))?,
            *value,
        ));
    }
    Ok(out)
}
