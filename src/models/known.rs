//! Models that are known by name.

/// A published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownModel {
    /// What `--model` calls it, with or without `paddlemix/CoCa/` before it.
    pub name: &'static str,
    /// Name of its config.
    pub config: &'static str,
    /// Where it is on the hub.
    pub repository: &'static str,
    /// What it was trained on.
    pub about: &'static str,
}

/// The published models: those of the seed's README, from LAION's repositories.
pub const KNOWN: [KnownModel; 4] = [
    KnownModel {
        name: "CoCa-ViT-B-32-laion2B-s13B-b90k",
        config: "coca_ViT-B-32",
        repository: "laion/CoCa-ViT-B-32-laion2B-s13B-b90k",
        about: "ViT-B/32 on LAION-2B, 13 billion samples",
    },
    KnownModel {
        name: "CoCa-ViT-L-14-laion2B-s13B-b90k",
        config: "coca_ViT-L-14",
        repository: "laion/CoCa-ViT-L-14-laion2B-s13B-b90k",
        about: "ViT-L/14 on LAION-2B, 13 billion samples",
    },
    KnownModel {
        name: "mscoco_finetuned_CoCa-ViT-B-32-laion2B-s13B-b90k",
        config: "coca_ViT-B-32",
        repository: "laion/mscoco_finetuned_CoCa-ViT-B-32-laion2B-s13B-b90k",
        about: "the same, fine-tuned on MS COCO captions",
    },
    KnownModel {
        name: "mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
        config: "coca_ViT-L-14",
        repository: "laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
        about: "the same, fine-tuned on MS COCO captions",
    },
];

/// The known model of this name.
pub fn known(name: &str) -> Option<&'static KnownModel> {
    let short = name.strip_prefix("paddlemix/CoCa/").unwrap_or(name);
    KNOWN.iter().find(|known| known.name == short)
}
