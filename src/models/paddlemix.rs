//! PaddleMIX's config.json as open_clip's.

use serde_json::{Map, Value, json};

/// PaddleMIX's defaults where they are not open_clip's (paddlemix/models/clip/vit_model.py, multi_modal_model.py).
const PATCH_SIZE: i64 = 14;

/// Keys that choose a kernel or a class, not what is computed.
const INERT: [&str; 8] =
    ["embed_dim", "xattn", "flash_attn", "fusedlinear", "fusedLN", "attn_mask", "cast_dtype", "return_dict"];

/// The same model in open_clip's words. Keys that are not known stay, so that they are refused by name.
pub(crate) fn to_open_clip(config: &Value) -> Value {
    let section = |name: &str| {
        let mut table = config.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let embed_dim = table.get("embed_dim").cloned();
        table.retain(|key, _| !INERT.contains(&key.as_str()));
        (table, embed_dim)
    };
    let ((mut vision, from_vision), (text, _), (decoder, _)) =
        (section("vision_cfg"), section("text_cfg"), section("multimodal_cfg"));
    vision.entry("patch_size").or_insert_with(|| json!(PATCH_SIZE));
    rename(&mut vision, "n_queries", "attn_pooler_queries");
    let whole = config.get("embed_dim").filter(|v| !v.is_null()).cloned();
    json!({
        "embed_dim": whole.or(from_vision).unwrap_or_else(|| json!(512)),
        "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder,
    })
}

fn rename(table: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = table.remove(from) {
        table.insert(to.to_owned(), value);
    }
}
