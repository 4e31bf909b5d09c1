//! Which parameters share a learning rate and a weight decay.

/// The part of the model that a parameter belongs to, for rates of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tower {
    /// `visual.*`
    Visual,
    /// `text.*` and `text_decoder.*`
    Text,
    /// `logit_scale`
    LogitScale,
}

impl Tower {
    /// The tower of a parameter, by its name.
    pub fn of(name: &str) -> Self {
        if name.starts_with("visual.") {
            Self::Visual
        } else if name.starts_with("text.") || name.starts_with("text_decoder.") {
            Self::Text
        } else {
            Self::LogitScale
        }
    }
}

/// open_clip's rule for weight decay: matrices decay, unless their name says norm, bias or logit scale.
pub fn decays(name: &str, dimensions: usize) -> bool {
    let exempt = ["bn", "ln", "bias", "logit_scale"].iter().any(|part| name.contains(part));
    dimensions >= 2 && !exempt
}

/// Layers between a parameter and its tower's output, in a model of these numbers of blocks: 0 for what follows the
/// last block, blocks + 1 for the embeddings. The image tower, the text tower and the decoder count on their own.
pub fn layers_above(name: &str, blocks: impl Fn(&str) -> i64) -> i64 {
    let tower = name.split('.').next().unwrap_or(name);
    let count = blocks(tower);
    let mut parts = name.split('.').skip_while(|part| !matches!(*part, "resblocks" | "cross_attn"));
    if let Some(index) = parts.nth(1).and_then(|part| part.parse::<i64>().ok()) {
        return count - index;
    }
    let embeds = ["conv1", "class_embedding", "positional_embedding", "ln_pre", "token_embedding", "cls_emb"];
    if embeds.iter().any(|part| name.contains(part)) { count + 1 } else { 0 }
}

/// Learning rate and weight decay of each tower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Rate of the image tower.
    pub visual_lr: f64,
    /// Weight decay of the image tower.
    pub visual_wd: f64,
    /// Rate of the text tower and the decoder.
    pub text_lr: f64,
    /// Weight decay of the text tower and the decoder.
    pub text_wd: f64,
    /// Rate of the logit scale, which never decays.
    pub logit_scale_lr: f64,
}

impl Rates {
    /// One rate and one decay for all.
    pub fn uniform(lr: f64, wd: f64) -> Self {
        Self { visual_lr: lr, visual_wd: wd, text_lr: lr, text_wd: wd, logit_scale_lr: lr }
    }

    /// (rate, decay) of a group.
    pub fn of(&self, tower: Tower, decays: bool) -> (f64, f64) {
        let (lr, wd) = match tower {
            Tower::Visual => (self.visual_lr, self.visual_wd),
            Tower::Text => (self.text_lr, self.text_wd),
            Tower::LogitScale => (self.logit_scale_lr, 0.0),
        };
        (lr, if decays { wd } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_from_the_output() {
        let above = |name| layers_above(name, |tower| if tower == "visual" { 12 } else { 4 });
        let cases = [
            ("visual.conv1.weight", 13),
            ("visual.ln_pre.weight", 13),
            ("visual.transformer.resblocks.0.ln_1.weight", 12),
            ("visual.transformer.resblocks.11.mlp.c_fc.bias", 1),
            ("visual.attn_pool.query", 0),
            ("text.token_embedding.weight", 5),
            ("text_decoder.cross_attn.3.attn.in_proj_weight", 1),
            ("text_decoder.text_projection", 0),
            ("logit_scale", 0),
        ];
        for (name, expected) in cases {
            assert_eq!(above(name), expected, "{name}");
        }
    }

    #[test]
    fn follows_open_clip() {
        let cases = [
            ("visual.class_embedding", 1, false),
            ("visual.positional_embedding", 2, true),
            ("visual.conv1.weight", 4, true),
            ("visual.ln_pre.weight", 1, false),
            ("visual.attn_pool.query", 2, true),
            ("text.transformer.resblocks.0.attn.in_proj_bias", 1, false),
            ("text.transformer.resblocks.0.mlp.c_fc.weight", 2, true),
            ("text.token_embedding.weight", 2, true),
            ("logit_scale", 0, false),
        ];
        for (name, dimensions, expected) in cases {
            assert_eq!(decays(name, dimensions), expected, "{name}");
        }
        assert_eq!(Tower::of("visual.proj"), Tower::Visual);
        assert_eq!(Tower::of("text_decoder.ln_final.bias"), Tower::Text);
        assert_eq!(Tower::of("logit_scale"), Tower::LogitScale);
    }
}
