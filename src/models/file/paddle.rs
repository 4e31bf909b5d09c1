//! PaddleMIX's model_state.pdparams: a pickled dict of NumPy arrays, translated to open_clip's names and layouts.
//!
//! PaddlePaddle's Linear keeps its weight as [in, out], PyTorch's as [out, in]; PaddleMIX's attention has separate
//! q_proj, k_proj and v_proj, where open_clip packs them into in_proj. bfloat16 comes as uint16. With protocol 2 the
//! numbers' bytes are written as text.
//! Names are those of paddlemix/models/clip/{coca_model,vit_model,text_model,multi_modal_model}.py.

use std::collections::HashMap;

use super::pickle::{self, Value};
use super::state_dict::entries;
use super::stored::Latin1;
use super::{Piece, StoredTensor};

/// What paddle.save puts beside the tensors.
const NAME_TABLE: &str = "StructuredToParameterName@@";
/// Linear layers, whose weights are transposed.
const LINEAR: [&str; 6] = [
    ".attn.q_proj.weight",
    ".attn.k_proj.weight",
    ".attn.v_proj.weight",
    ".attn.out_proj.weight",
    ".mlp.c_fc.weight",
    ".mlp.c_proj.weight",
];

/// What tensors the file has, under open_clip's names.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let pickle = pickle::read(bytes, 0)?;
    let mut arrays = Vec::new();
    // A text that many arrays name is looked through once.
    let mut texts: HashMap<usize, Option<Latin1>> = HashMap::new();
    for (name, id) in entries(&pickle)? {
        if name == NAME_TABLE {
            continue;
        }
        if name == "UnpackBigParamInfor@@" {
            return Err(
                "its parameters are split, as paddle.save does above 1 GiB with protocol 2 or 3: save with protocol 4"
                    .to_owned(),
            );
        }
        let Value::Array(Some(array)) = pickle.value(id) else {
            return Err(format!("the state dict's {name:?} is {}, not an array", pickle.value(id).kind()));
        };
        let mut shape = array.shape.clone();
        if array.fortran {
            shape.reverse();
        }
        let latin1 = match array.latin1 {
            false => None,
            true => {
                let text = array.bytes.clone();
                let known = texts.entry(text.start).or_insert_with(|| Latin1::new(bytes, text));
                Some(
                    known
                        .clone()
                        .ok_or_else(|| format!("array {name:?}: its text does not stand for bytes"))?,
                )
            }
        };
        let held = latin1.as_ref().map_or(array.bytes.len(), |latin1| latin1.length);
        let start = if latin1.is_some() { 0 } else { array.bytes.start };
        let mut piece = Piece::contiguous(start, &shape)
            .filter(|p| p.numbers.checked_mul(array.dtype.size()) == Some(held))
            .ok_or_else(|| format!("array {name:?}: {held} bytes are not shape {:?}", array.shape))?;
        piece.latin1 = latin1;
        if array.fortran {
            piece.shape.reverse();
            piece.strides.reverse();
        }
        if LINEAR.iter().any(|end| name.ends_with(end)) {
            piece = piece.transposed();
        }
        arrays.push(StoredTensor::whole(name.to_owned(), array.dtype, piece));
    }
    pack_attention(arrays)
}

/// Puts q, k and v of an attention together under open_clip's names.
fn pack_attention(arrays: Vec<StoredTensor>) -> Result<Vec<StoredTensor>, String> {
    let mut groups: HashMap<String, [Option<StoredTensor>; 3]> = HashMap::new();
    let mut order = Vec::new();
    let mut out = Vec::new();
    for array in arrays {
        let part = ["q", "k", "v"].iter().enumerate().find_map(|(i, part)| {
            let (attention, rest) = array.name.rsplit_once(&format!(".{part}_proj."))?;
            Some((i, format!("{attention} {rest}")))
        });
        let Some((i, key)) = part else {
            out.push(array);
            continue;
        };
        let group = groups.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            [const { None }; 3]
        });
        if let Some(double) = group[i].replace(array) {
            return Err(format!("two tensors are named {:?}", double.name));
        }
    }
    for key in order {
        let (attention, rest) = key.split_once(' ').unwrap_or_default();
        let [Some(q), Some(k), Some(v)] = groups.remove(&key).unwrap_or_default() else {
            return Err(format!("{attention}: q_proj, k_proj and v_proj are not all there ({rest})"));
        };
        let one_type = q.dtype == k.dtype && q.dtype == v.dtype;
        let rows = |t: &StoredTensor| t.shape.get(1..).map(<[usize]>::to_vec);
        match rest {
            // open_clip packs the weights where keys are as wide as queries (a pooler's may be wider).
            "weight" if rows(&q) != rows(&k) || rows(&q) != rows(&v) => {
                for (part, tensor) in ["q", "k", "v"].into_iter().zip([q, k, v]) {
                    out.push(StoredTensor { name: format!("{attention}.{part}_proj_weight"), ..tensor });
                }
            }
            "weight" | "bias" if one_type => {
                let mut shape = q.shape.clone();
                let total = [&q, &k, &v].iter().filter_map(|t| t.shape.first()).sum();
                match shape.first_mut() {
                    Some(first) => *first = total,
                    None => return Err(format!("{attention}: a {rest} without axes")),
                }
                let (name, dtype) = (format!("{attention}.in_proj_{rest}"), q.dtype);
                let pieces = [q, k, v].into_iter().flat_map(|t| t.pieces).collect();
                out.push(StoredTensor { name, dtype, shape, pieces });
            }
            _ => {
                return Err(format!(
                    "{attention}: q_proj, k_proj and v_proj ({rest}) cannot be put together"
                ));
            }
        }
    }
    Ok(out)
}
