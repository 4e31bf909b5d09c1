//! Looks at what an evaluation names before it is started: the model, the data, the device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::zero_shot::{ClassFolders, Templates, ZeroShotError};
use data::{Dataset, ReadOptions, Split};
use models::SourceError;
use run::settings::{EvaluationSettings, Settings};

use super::memory;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// What is wrong, by setting.
    pub problems: BTreeMap<&'static str, String>,
    /// What was found, by setting.
    pub facts: BTreeMap<&'static str, String>,
    /// What is no obstacle, and should be known.
    pub warning: Option<String>,
}

/// Looks. Paths are meant from this process's folder.
pub fn check(root: &Path, settings: &EvaluationSettings) -> Check {
    let mut seen = Check::default();
    let model = settings.model.clone().or_else(|| {
        let run = newest_run(root)?;
        Some(run.path().to_string_lossy().into_owned())
    });
    let gpu = has_gpu();
    match &model {
        None => {
            let text = "which model? There is no run with a checkpoint to take";
            seen.problems.insert("model", text.to_owned());
        }
        Some(name) => match models::find(name, settings.model_config.as_deref(), root) {
            Ok(found) => {
                let numbers: i64 = models::parameter_specs(&found.config).iter().map(|s| s.numel()).sum();
                #[allow(clippy::cast_precision_loss)]
                let millions = numbers as f64 / 1e6;
                let newest = if settings.model.is_none() { "the newest run: " } else { "" };
                seen.facts.insert(
                    "model",
                    format!("{newest}{} · {millions:.1} million parameters", super::short_model(&found.name)),
                );
                seen.warning = room(&found.config, settings, root);
            }
            Err(e) => {
                let of_config = settings.model_config.is_some() && matches!(e, SourceError::Config { .. });
                seen.problems.insert(if of_config { "model_config" } else { "model" }, e.to_string());
            }
        },
    }
    if settings.task == "zero-shot" {
        classes(root, settings, model.as_deref(), &mut seen);
    } else {
        match test_data(settings.data.as_deref(), settings.image_root.as_deref(), model.as_deref(), root) {
            Ok(set) => {
                let captions: usize = (0..set.len()).map(|i| set.captions(i).count()).sum();
                let text = format!("{} · {} pictures, {captions} captions", short(set.path()), set.images());
                seen.facts.insert("data", text);
            }
            Err(e) => drop(seen.problems.insert("data", e)),
        }
    }
    if settings.device == "cuda" && !gpu {
        seen.problems.insert("device", "there is no NVIDIA device on this machine".to_owned());
    }
    if let Some(tokenizer) = settings.tokenizer.as_deref().filter(|t| *t != "clip")
        && let Err(e) = std::fs::File::open(tokenizer)
    {
        seen.problems.insert("tokenizer", format!("{tokenizer}: {e}"));
    }
    if settings.task == "caption"
        && let Err(e) = settings.decoding()
    {
        seen.problems.insert(e.name, e.to_string());
    }
    if settings.task != "caption" && settings.precision == "float16" && (settings.device == "cpu" || !gpu) {
        seen.problems.insert("precision", "float16 needs a GPU: take bfloat16 or float32".to_owned());
    }
    seen
}

/// What to say where a run at work leaves too little memory on the GPU that an evaluation would take.
fn room(config: &models::CoCaConfig, settings: &EvaluationSettings, root: &Path) -> Option<String> {
    // A run that tells of a GPU's memory proves that there is one.
    if settings.device == "cpu" {
        return None;
    }
    let live = memory::live(&run::dir::list(root));
    memory::warning(memory::Need::of(config, settings), &live)
}

/// As [`check`] warns, for an evaluation that is started at once. A model that cannot be found is told by who loads it.
pub fn memory_warning(root: &Path, settings: &EvaluationSettings, model: Option<&str>) -> Option<String> {
    let found = models::find(model?, settings.model_config.as_deref(), root).ok()?;
    room(&found.config, settings, root)
}

fn classes(root: &Path, settings: &EvaluationSettings, model: Option<&str>, seen: &mut Check) {
    let folder = match zero_shot_folder(settings.data.as_deref(), model, root) {
        Ok(folder) => folder,
        Err(e) => return drop(seen.problems.insert("data", e)),
    };
    let named = Templates::named(&settings.templates);
    match ClassFolders::with_templates(&folder, &named) {
        Ok(set) => {
            let (classes, pictures) = (set.classes.len(), set.images.len());
            let text = format!("{} · {classes} classes, {pictures} pictures", short(&folder));
            seen.facts.insert("data", text);
            let first = set.prompts(0).next().unwrap_or_default();
            seen.facts.insert("templates", format!("{}, such as \"{first}\"", set.templates.len()));
        }
        Err(e) => {
            let of_templates = match (&e, &named) {
                (ZeroShotError::Io { path, .. }, Templates::File(file)) => path == file,
                (ZeroShotError::Template { .. }, _) => true,
                _ => false,
            };
            seen.problems.insert(if of_templates { "templates" } else { "data" }, e.to_string());
        }
    }
}

fn short(path: &Path) -> String {
    super::short_data(&path.to_string_lossy())
}

/// Whether the kernel knows an NVIDIA device.
fn has_gpu() -> bool {
    std::fs::read_dir("/proc/driver/nvidia/gpus").is_ok_and(|mut gpus| gpus.next().is_some())
}

/// The newest run in `root` that has a checkpoint.
pub fn newest_run(root: &Path) -> Option<run::dir::RunDir> {
    let here = root.canonicalize().ok()?;
    let below = |run: &run::dir::RunDir| run.path().parent() == Some(here.as_path());
    run::dir::list(root).into_iter().find(|run| below(run) && !run::checkpoint::steps(run).is_empty())
}

/// The run that a model's name stands for, or whose checkpoint it is.
fn run_of(model: &str, root: &Path) -> Option<run::dir::RunDir> {
    let of_checkpoint = || {
        let run = Path::new(model).parent().filter(|p| p.ends_with("checkpoints"))?.parent()?;
        run::dir::RunDir::find(run.to_str()?, root).ok()
    };
    run::dir::RunDir::find(model, root).ok().or_else(of_checkpoint)
}

/// The settings of the run that a model's name stands for, where it stands for one.
fn run_settings(model: &str, root: &Path) -> Option<Settings> {
    Settings::load(&run_of(model, root)?.config()).ok()
}

/// The zero-shot set that is named, else the one of the model's run.
///
/// # Errors
/// There is neither.
pub fn zero_shot_folder(named: Option<&str>, model: Option<&str>, root: &Path) -> Result<PathBuf, String> {
    let of_run = || {
        let of_run = run_settings(model?, root)?;
        of_run.classification_eval.or_else(|| {
            let own = Path::new(&of_run.train_data?).join("zero_shot");
            own.is_dir().then(|| own.to_string_lossy().into_owned())
        })
    };
    let found = named.map(str::to_owned).or_else(of_run).map(PathBuf::from);
    found.ok_or_else(|| "which pictures? Give a folder of class folders (--classification_eval)".to_owned())
}

/// The test split of the data that are named, else of those that the model's run was trained on.
///
/// # Errors
/// There are none, or they cannot be read.
pub fn test_data(
    named: Option<&str>,
    image_root: Option<&str>,
    model: Option<&str>,
    root: &Path,
) -> Result<Dataset, String> {
    // A run's data are read as the run reads them.
    let mut settings = model.and_then(|model| run_settings(model, root)).unwrap_or_default();
    if let Some(named) = named {
        settings = Settings { train_data: Some(named.to_owned()), ..Default::default() };
    }
    if let Some(image_root) = image_root {
        settings.image_root = Some(image_root.to_owned());
    }
    let Some(data) = &settings.train_data else {
        return Err("which data? Give annotations, or the folder of a data set (--data)".to_owned());
    };
    Dataset::open(Path::new(data), Split::Test, &ReadOptions::from(&settings)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A live run whose newest report is what NVML would have told it.
    fn live_run(root: &Path, used: u64) -> run::lock::Lock {
        use run::events::{Body, Memory, State};
        let run = run::dir::RunDir::create(root, "live").unwrap();
        std::fs::write(run.config(), "").unwrap();
        let memory = Memory {
            device: "cuda:0".into(),
            device_used: Some(used),
            device_total: Some(80 << 30),
            ..Memory::default()
        };
        let mut events = run::log::Writer::open(&run).unwrap();
        events.append(Body::State { state: State::Running, step: 1, message: None }).unwrap();
        events.append(Body::Memory(memory)).unwrap();
        run::lock::Lock::take(&run, std::time::Duration::ZERO).unwrap()
    }

    #[test]
    fn a_run_that_fills_the_gpu_is_warned_of_while_it_lives() {
        let root = tempfile::tempdir().unwrap();
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/weights/paddle");
        let settings = EvaluationSettings { model: Some(model.into()), ..EvaluationSettings::default() };
        let lock = live_run(root.path(), (80 << 30) - (100 << 20));
        let seen = check(root.path(), &settings);
        let warning = seen.warning.unwrap_or_default();
        assert!(warning.contains("are in use on cuda:0 (run live), 0.1 GiB are free"), "{warning}");
        // The command line says the same.
        assert_eq!(memory_warning(root.path(), &settings, Some(model)), Some(warning));
        let on_cpu = EvaluationSettings { device: "cpu".into(), ..settings.clone() };
        assert_eq!(check(root.path(), &on_cpu).warning, None);
        drop(lock);
        assert_eq!(check(root.path(), &settings).warning, None, "a run that has ended takes no memory");
    }

    #[test]
    fn problems_stand_at_their_settings() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = EvaluationSettings::default();
        let seen = check(root.path(), &settings);
        assert!(seen.problems["model"].contains("no run with a checkpoint"), "{seen:?}");
        assert!(seen.problems["data"].contains("which pictures?"), "{seen:?}");
        let set = root.path().join("set");
        std::fs::create_dir_all(set.join("images/red_ring")).unwrap();
        std::fs::write(set.join("images/red_ring/1.png"), "").unwrap();
        settings.data = Some(set.to_string_lossy().into_owned());
        settings.model = Some("nothing of that name".into());
        settings.templates = "no/file.txt".into();
        (settings.precision, settings.device) = ("float16".into(), "cpu".into());
        let seen = check(root.path(), &settings);
        let at: Vec<&str> = seen.problems.keys().copied().collect();
        assert_eq!(at, ["model", "precision", "templates"], "{seen:?}");
        settings.templates = "simple".into();
        let seen = check(root.path(), &settings);
        assert_eq!(seen.facts["data"].split(" · ").nth(1), Some("1 classes, 1 pictures"));
        assert!(seen.facts["templates"].starts_with("7, such as"), "{seen:?}");
        settings.task = "caption".into();
        (settings.groups, settings.tokenizer) = (4, Some("no/tokenizer.json".into()));
        let problems = check(root.path(), &settings).problems;
        assert!(
            problems["groups"].contains("divides beams") && problems.contains_key("tokenizer"),
            "{problems:?}"
        );
        settings.data = Some("no/such/data".into());
        assert!(check(root.path(), &settings).problems["data"].contains("no/such/data"));
    }
}
