//! How a model's parameters lie on the ranks.

use run::events::{Layout, LayoutRow};
use tch::Tensor;

use crate::model::Parameters;

/// Bytes of a tensor.
pub fn bytes(t: &Tensor) -> u64 {
    (t.numel() * t.kind().elt_size_in_bytes()) as u64
}

/// The layout of a model that every rank holds whole: one row a block or loose tensor.
pub fn of(parameters: &Parameters, world_size: u32) -> Layout {
    let mut rows: Vec<LayoutRow> = Vec::new();
    for (name, tensor) in parameters.iter() {
        let group = group_of(name);
        let size = bytes(tensor);
        match rows.last_mut().filter(|row| row.name == group) {
            Some(row) => row.bytes += size,
            None => rows.push(LayoutRow { name: group.to_owned(), bytes: size, ranks: Vec::new() }),
        }
    }
    for row in &mut rows {
        row.ranks = vec![row.bytes; world_size as usize];
    }
    Layout { data_parallel: world_size, sharding: 1, tensor_parallel: 1, stage: String::new(), rows }
}

/// `visual.transformer.resblocks.3.attn.in_proj_weight` -> `visual.transformer.resblocks.3`; a loose tensor keeps its
/// name but for its last part.
fn group_of(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.bytes().all(|b| b.is_ascii_digit()) {
            return &name[..end];
        }
        end += 1;
    }
    name.rsplit_once('.').map_or(name, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups() {
        let group = super::group_of;
        assert_eq!(
            group("visual.transformer.resblocks.3.attn.in_proj_weight"),
            "visual.transformer.resblocks.3"
        );
        assert_eq!(group("text.token_embedding.weight"), "text.token_embedding");
        assert_eq!(group("logit_scale"), "logit_scale");
    }
}
