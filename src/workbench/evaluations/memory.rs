//! Whether an evaluation has room on a GPU beside runs that are at work on it.

use models::CoCaConfig;
use run::dir::RunDir;
use run::events::Memory;
use run::history::History;
use run::settings::EvaluationSettings;

/// What CUDA and its libraries take in every process, about.
const CUDA_CONTEXT: u64 = 600 << 20;

/// Buffers of a block that live at once, in widths of a token: the residual stream, what is normalised, queries, keys,
/// values, and the MLP's four, twice.
const WIDTHS: u64 = 14;

/// Prompts in one pass of the text tower, and their columns at most where they are sentences.
const PROMPTS: (u64, u64) = (512, 32);

/// Bytes that an evaluation needs on a GPU, about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The model.
    pub weights: u64,
    /// What is computed at once.
    pub batch: u64,
    /// CUDA itself.
    pub context: u64,
}

impl Need {
    /// For a model of this shape.
    pub fn of(config: &CoCaConfig, settings: &EvaluationSettings) -> Self {
        let size = |n: i64| u64::try_from(n).unwrap_or(0);
        let numbers: u64 = models::parameter_specs(config).iter().map(|s| size(s.numel())).sum();
        // Lower precision keeps a second copy of the matrices.
        let bytes = if settings.precision == "float32" { 4 } else { 6 };
        let vision = &config.vision;
        let patches = size(vision.image_size / vision.patch_size.max(1)).pow(2) + 1;
        let pictures = settings.batch * patches * size(vision.width) * WIDTHS * 4;
        let texts = PROMPTS.0 * PROMPTS.1 * size(config.text.width) * WIDTHS * 4;
        Self { weights: numbers * bytes, batch: pictures.max(texts), context: CUDA_CONTEXT }
    }

    /// All of it.
    pub fn total(self) -> u64 {
        self.weights + self.batch + self.context
    }
}

/// The memory reports of live runs, by the run's name.
pub fn live(runs: &[RunDir]) -> Vec<(String, Memory)> {
    let mut all = Vec::new();
    for run in runs {
        let history = History::read_ends(run).unwrap_or_default();
        if history.status(run).is_alive() {
            all.extend(history.memory.into_values().map(|m| (run.name(), m)));
        }
    }
    all
}

/// What to say where the first GPU, which evaluations take, has a run on it and too little room for both. None where
/// there is room, or no run.
pub fn warning(need: Need, live: &[(String, Memory)]) -> Option<String> {
    let (run, memory) = live.iter().find(|(_, m)| m.device == "cuda:0" || m.device == "cuda")?;
    let (Some(used), Some(total)) = (memory.device_used, memory.device_total) else {
        let why = memory.notes.get("device_used").map_or("NVML does not tell", String::as_str);
        return Some(format!(
            "run {run} computes on the same GPU, and how much memory is free cannot be told ({why}); about {} are needed",
            gib(need.total())
        ));
    };
    let free = total.saturating_sub(used);
    let missing = need.total().checked_sub(free).filter(|missing| *missing > 0)?;
    Some(format!(
        "memory will not do: {} of {} are in use on {} (run {run}), {} are free, about {} are needed (weights {}, a batch \
         {}, CUDA {}); {} too little: wait, take a smaller batch, or device cpu",
        gib(used),
        gib(total),
        memory.device,
        gib(free),
        gib(need.total()),
        gib(need.weights),
        gib(need.batch),
        gib(need.context),
        gib(missing)
    ))
}

#[allow(clippy::cast_precision_loss)]
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(config: &str, batch: u64) -> Need {
        let settings = EvaluationSettings { batch, ..EvaluationSettings::default() };
        Need::of(&CoCaConfig::named(config).unwrap(), &settings)
    }

    fn reading(used: Option<u64>) -> Vec<(String, Memory)> {
        let total = used.map(|_| 80 << 30);
        let memory =
            Memory { device: "cuda:0".into(), device_used: used, device_total: total, ..Memory::default() };
        vec![("demo".to_owned(), memory)]
    }

    #[test]
    fn needs_grow_with_model_and_batch() {
        let small = need("coca_ViT-B-32", 16);
        // 253.6 million parameters in float32.
        assert!((1_000_000_000..1_050_000_000).contains(&small.weights), "{small:?}");
        assert!(need("coca_ViT-L-14", 16).weights > 2 * small.weights);
        assert!(need("coca_ViT-L-14", 512).batch > 10 * need("coca_ViT-L-14", 16).batch);
    }

    #[test]
    fn it_warns_when_memory_will_not_do_and_says_how_much() {
        let need = need("coca_ViT-B-32", 16);
        assert_eq!(warning(need, &reading(Some(20 << 30))), None);
        assert_eq!(warning(need, &[]), None);
        let text = warning(need, &reading(Some((79 << 30) + (512 << 20)))).unwrap();
        assert!(
            text.contains("79.5 GiB of 80.0 GiB are in use on cuda:0 (run demo), 0.5 GiB are free"),
            "{text}"
        );
        assert!(text.contains("about 2.0 GiB are needed") && text.contains("1.5 GiB too little"), "{text}");
        let text = warning(need, &reading(None)).unwrap();
        assert!(text.contains("cannot be told"), "{text}");
        // A run on the CPU takes nothing of a GPU.
        let cpu = vec![("demo".to_owned(), Memory { device: "cpu".into(), ..Memory::default() })];
        assert_eq!(warning(need, &cpu), None);
    }
}
