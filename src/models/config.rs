//! The shape of a CoCa, read from open_clip's model config JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Configs that come with the program: open_clip's, word for word, and the demo's.
const NAMED: [(&str, &str); 4] = [
    ("coca_ViT-B-32", include_str!("../../assets/model_configs/coca_ViT-B-32.json")),
    ("coca_ViT-L-14", include_str!("../../assets/model_configs/coca_ViT-L-14.json")),
    ("coca_base", include_str!("../../assets/model_configs/coca_base.json")),
    ("coca_demo", include_str!("../../assets/model_configs/coca_demo.json")),
];

/// Why a model config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, a missing key, or a value of the wrong type.
    #[error("model config: {0}")]
    Json(#[from] serde_json::Error),
    /// No config of this name comes with the program.
    #[error("no model config is named {name:?}; known are {known}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A setting that changes the model in a way that is not built here.
    #[error("model config: {key} = {value} is not supported; remove the key, or use a model without it")]
    Unsupported {
        /// Dotted path of the key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Numbers that do not fit together.
    #[error("model config: {0}")]
    Invalid(String),
}

/// A CoCa's shape. Serialises to the JSON that it is read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoCaConfig {
    /// Width D of the space that images and texts share.
    pub embed_dim: i64,
    /// The image tower.
    #[serde(rename = "vision_cfg")]
    pub vision: VisionConfig,
    /// The unimodal text tower.
    #[serde(rename = "text_cfg")]
    pub text: TextConfig,
    /// The multimodal decoder.
    #[serde(rename = "multimodal_cfg")]
    pub decoder: DecoderConfig,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The image tower: a ViT, with or without attentional pooler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Side of the square input image, pixels.
    #[serde(default = "d::image_size")]
    pub image_size: i64,
    /// Side of a square patch, pixels.
    #[serde(default = "d::patch_size")]
    pub patch_size: i64,
    /// Blocks.
    #[serde(default = "d::layers")]
    pub layers: i64,
    /// Width W_v.
    #[serde(default = "d::vision_width")]
    pub width: i64,
    /// Width of one attention head.
    #[serde(default = "d::head_width")]
    pub head_width: i64,
    /// Hidden width of the MLP over the width.
    #[serde(default = "d::mlp_ratio")]
    pub mlp_ratio: f64,
    /// One pooler with learned queries: query 0 for contrast, the rest for the decoder.
    #[serde(default, deserialize_with = "attentional_pool")]
    pub attentional_pool: bool,
    /// Heads of the pooler.
    #[serde(default = "d::pooler_heads")]
    pub attn_pooler_heads: i64,
    /// Queries of the pooler, the contrastive one included.
    #[serde(default = "d::pooler_queries")]
    pub attn_pooler_queries: i64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The unimodal text tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Token ids of a text, SOT and EOT counted; CLS comes on top.
    #[serde(default = "d::context_length")]
    pub context_length: i64,
    /// Token ids there are, for this tower and for the decoder's head.
    #[serde(default = "d::vocab_size")]
    pub vocab_size: i64,
    /// Width W.
    #[serde(default = "d::text_width")]
    pub width: i64,
    /// Attention heads.
    #[serde(default = "d::heads")]
    pub heads: i64,
    /// Blocks.
    #[serde(default = "d::layers")]
    pub layers: i64,
    /// Hidden width of the MLP over the width.
    #[serde(default = "d::mlp_ratio")]
    pub mlp_ratio: f64,
    /// A learned class token behind the text; CoCa needs it.
    #[serde(default)]
    pub embed_cls: bool,
    /// The id that fills up, and is masked and unlabelled wherever it stands.
    #[serde(default)]
    pub pad_id: i64,
    /// False: open_clip's legacy key mask, which all published weights were trained with (shifted right by
    /// one, so that CLS sees the first pad and not itself). True: keys are masked where they are padding.
    /// open_clip's config has no such key: it is left out where it is false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub correct_cls_mask: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The multimodal decoder. Its vocabulary is the text tower's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecoderConfig {
    /// Width, equal to the text tower's and to the image tokens'.
    #[serde(default = "d::text_width")]
    pub width: i64,
    /// Attention heads, in self and cross attention.
    #[serde(default = "d::heads")]
    pub heads: i64,
    /// Pairs of a self-attention and a cross-attention block.
    #[serde(default = "d::layers")]
    pub layers: i64,
    /// Hidden width of the MLP over the width.
    #[serde(default = "d::mlp_ratio")]
    pub mlp_ratio: f64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// open_clip's defaults.
mod d {
    pub fn image_size() -> i64 {
        224
    }
    pub fn patch_size() -> i64 {
        16
    }
    pub fn layers() -> i64 {
        12
    }
    pub fn vision_width() -> i64 {
        768
    }
    pub fn head_width() -> i64 {
        64
    }
    pub fn mlp_ratio() -> f64 {
        4.0
    }
    pub fn pooler_heads() -> i64 {
        8
    }
    pub fn pooler_queries() -> i64 {
        256
    }
    pub fn context_length() -> i64 {
        77
    }
    pub fn vocab_size() -> i64 {
        49408
    }
    pub fn text_width() -> i64 {
        512
    }
    pub fn heads() -> i64 {
        8
    }
}

/// open_clip also takes the strings "parallel" and "cascade"; they are refused by name.
fn attentional_pool<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Value::deserialize(from)? {
        Value::Bool(on) => Ok(on),
        Value::Null => Ok(false),
        other => Err(serde::de::Error::custom(format!(
            "vision_cfg.attentional_pool = {other} is not supported: only true and false are"
        ))),
    }
}

impl CoCaConfig {
    /// A config that comes with the program: `coca_ViT-B-32`, `coca_ViT-L-14` or `coca_base`.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        match NAMED.iter().find(|(known, _)| *known == name) {
            Some((_, json)) => Self::from_json(json),
            None => Err(ConfigError::UnknownName { name: name.to_owned(), known: Self::names().join(", ") }),
        }
    }

    /// Names that [`CoCaConfig::named`] takes.
    pub fn names() -> [&'static str; 4] {
        NAMED.map(|(name, _)| name)
    }

    /// Reads and validates open_clip's JSON (the whole file, or the `model_cfg` inside open_clip_config.json).
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let mut value: Value = serde_json::from_str(json)?;
        if let Some(inner) = value.get_mut("model_cfg") {
            value = inner.take();
        }
        if value.get("model_type").and_then(Value::as_str) == Some("coca") {
            value = crate::paddlemix::to_open_clip(&value);
        }
        // Said before serde finds the keys of such a tower missing or strange.
        if let Some(name) = value.pointer("/text_cfg/hf_model_name").filter(|v| !v.is_null()) {
            return Err(unsupported("text_cfg.hf_model_name", name));
        }
        if let Some(name) = value.pointer("/vision_cfg/timm_model_name").filter(|v| !v.is_null()) {
            return Err(unsupported("vision_cfg.timm_model_name", name));
        }
        let config: Self = serde_json::from_value(value)?;
        config.validate()?;
        Ok(config)
    }

    /// The JSON that [`CoCaConfig::from_json`] reads.
    pub fn to_json(&self) -> Result<String, ConfigError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Checks that the numbers fit together. `from_json` has done it; call it after changing a field.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (v, t, m) = (&self.vision, &self.text, &self.decoder);
        refuse_extra("", &self.extra, &["custom_text"])?;
        refuse_extra("vision_cfg.", &v.extra, &["output_tokens", "pool_type"])?;
        refuse_extra("text_cfg.", &t.extra, &["output_tokens", "pool_type", "eos_id"])?;
        // open_clip reads these four and then ignores them.
        let ignored = ["context_length", "vocab_size", "dim_head", "n_queries", "attn_pooler_heads"];
        refuse_extra("multimodal_cfg.", &m.extra, &ignored)?;

        for (key, number) in [
            ("embed_dim", self.embed_dim),
            ("vision_cfg.image_size", v.image_size),
            ("vision_cfg.patch_size", v.patch_size),
            ("vision_cfg.layers", v.layers),
            ("vision_cfg.width", v.width),
            ("vision_cfg.head_width", v.head_width),
            ("vision_cfg.attn_pooler_heads", v.attn_pooler_heads),
            ("text_cfg.context_length", t.context_length),
            ("text_cfg.vocab_size", t.vocab_size),
            ("text_cfg.width", t.width),
            ("text_cfg.heads", t.heads),
            ("text_cfg.layers", t.layers),
            ("multimodal_cfg.width", m.width),
            ("multimodal_cfg.heads", m.heads),
            ("multimodal_cfg.layers", m.layers),
        ] {
            // The bound keeps every product of two of them within i64.
            ensure((1..1 << 24).contains(&number), || {
                format!("{key} = {number} must be positive and below 2^24")
            })?;
        }
        for (key, ratio, width) in [
            ("vision_cfg.mlp_ratio", v.mlp_ratio, v.width),
            ("text_cfg.mlp_ratio", t.mlp_ratio, t.width),
            ("multimodal_cfg.mlp_ratio", m.mlp_ratio, m.width),
        ] {
            ensure(ratio.is_finite() && ratio < 1024.0 && mlp_width(width, ratio) > 0, || {
                format!("{key} = {ratio} gives width {width} no usable MLP")
            })?;
        }
        divides("vision_cfg.head_width", v.head_width, "vision_cfg.width", v.width)?;
        divides("text_cfg.heads", t.heads, "text_cfg.width", t.width)?;
        divides("multimodal_cfg.heads", m.heads, "multimodal_cfg.width", m.width)?;
        ensure(v.image_size >= v.patch_size, || {
            format!("vision_cfg.patch_size = {} is larger than image_size = {}", v.patch_size, v.image_size)
        })?;
        if v.attentional_pool {
            divides("vision_cfg.attn_pooler_heads", v.attn_pooler_heads, "embed_dim", self.embed_dim)?;
            ensure((2..1 << 24).contains(&v.attn_pooler_queries), || {
                format!(
                    "vision_cfg.attn_pooler_queries = {} must be at least 2: one for contrast, the rest for \
                     the decoder",
                    v.attn_pooler_queries
                )
            })?;
        }
        ensure(t.embed_cls, || {
            "text_cfg.embed_cls must be true: CoCa's text feature is the class token".into()
        })?;
        ensure((0..t.vocab_size).contains(&t.pad_id), || {
            format!("text_cfg.pad_id = {} is outside the vocabulary of {}", t.pad_id, t.vocab_size)
        })?;
        ensure(m.width == t.width, || {
            format!("multimodal_cfg.width = {} must equal text_cfg.width = {}", m.width, t.width)
        })?;
        ensure(m.width == self.image_token_width(), || {
            let source = if v.attentional_pool { "embed_dim" } else { "vision_cfg.width" };
            format!(
                "multimodal_cfg.width = {} must equal the image tokens' width = {} ({source})",
                m.width,
                self.image_token_width()
            )
        })
    }

    /// Width of the image tokens that the decoder reads.
    pub fn image_token_width(&self) -> i64 {
        if self.vision.attentional_pool { self.embed_dim } else { self.vision.width }
    }

    /// Number of image tokens that the decoder reads.
    pub fn image_tokens(&self) -> i64 {
        if self.vision.attentional_pool { self.vision.attn_pooler_queries - 1 } else { self.vision.patches() }
    }
}

impl VisionConfig {
    /// Patches of one image.
    pub fn patches(&self) -> i64 {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Attention heads.
    pub fn heads(&self) -> i64 {
        self.width / self.head_width
    }
}

/// Hidden width of an MLP, rounded down as Python's int() does.
pub(crate) fn mlp_width(width: i64, ratio: f64) -> i64 {
    (width as f64 * ratio) as i64
}

fn unsupported(key: &str, value: &Value) -> ConfigError {
    ConfigError::Unsupported { key: key.to_owned(), value: value.to_string() }
}

/// Keys beyond the ones modelled: fine when they say nothing (null, false) or are known to change nothing.
fn refuse_extra(path: &str, extra: &Map<String, Value>, harmless: &[&str]) -> Result<(), ConfigError> {
    for (key, value) in extra {
        let silent = value.is_null() || *value == Value::Bool(false) || harmless.contains(&key.as_str());
        if !silent {
            return Err(unsupported(&format!("{path}{key}"), value));
        }
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Invalid(otherwise())) }
}

fn divides(part: &str, n: i64, whole: &str, of: i64) -> Result<(), ConfigError> {
    ensure(of % n == 0, || format!("{part} = {n} does not divide {whole} = {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tiny() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/golden/tiny_config.json")).unwrap()
    }

    fn message(value: Value) -> String {
        CoCaConfig::from_json(&value.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn named_configs_validate_and_survive_a_round_trip() {
        for name in CoCaConfig::names() {
            let config = CoCaConfig::named(name).unwrap();
            assert_eq!(CoCaConfig::from_json(&config.to_json().unwrap()).unwrap(), config);
        }
        let base = CoCaConfig::named("coca_base").unwrap();
        assert_eq!((base.image_tokens(), base.image_token_width()), (256, 768));
        let b32 = CoCaConfig::named("coca_ViT-B-32").unwrap();
        assert_eq!((b32.image_tokens(), b32.image_token_width(), b32.vision.heads()), (255, 512, 12));
        assert!(CoCaConfig::named("coca").unwrap_err().to_string().contains("coca_ViT-L-14"));
    }

    #[test]
    fn bad_configs_name_the_key() {
        let cases = [
            ("/text_cfg/heads", json!(5), "text_cfg.heads"),
            ("/multimodal_cfg/width", json!(48), "multimodal_cfg.width"),
            ("/vision_cfg/attn_pooler_queries", json!(1), "attn_pooler_queries"),
            ("/vision_cfg/layers", json!(0), "vision_cfg.layers"),
            ("/vision_cfg/attentional_pool", json!("cascade"), "cascade"),
            ("/vision_cfg/attentional_pool", json!(false), "image tokens"),
            ("/text_cfg/embed_cls", json!(false), "embed_cls"),
            ("/text_cfg/vocab_size", json!("97"), "97"),
        ];
        for (at, value, expected) in cases {
            let mut config = tiny();
            *config.pointer_mut(at).unwrap() = value;
            let said = message(config);
            assert!(said.contains(expected), "{at}: {said}");
        }
        for (table, key, value) in [
            ("text_cfg", "hf_model_name", json!("roberta-base")),
            ("vision_cfg", "ls_init_value", json!(0.1)),
            ("text_cfg", "no_such_key", json!(3)),
        ] {
            let mut config = tiny();
            config[table][key] = value;
            let said = message(config);
            assert!(said.contains(&format!("{table}.{key}")), "{said}");
        }
    }
}
