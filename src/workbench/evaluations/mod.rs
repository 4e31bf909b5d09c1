//! Evaluations as things on the disk: the queue with its runner, what each one left, tables of results and their export.
//! The command line and the Evaluate tab are two views of this.

pub mod check;
pub mod export;
pub mod memory;
pub mod opened;
pub mod progress;
pub mod queue;
pub mod results;
pub mod runner;

use std::path::{Path, PathBuf};

/// Where evaluations are, below the folder of runs.
pub fn folder(root: &Path) -> PathBuf {
    root.join("evaluations")
}

/// A model's name without its folders; a checkpoint keeps the name of its run.
pub fn short_model(model: &str) -> String {
    let parts: Vec<&str> = model.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [.., run, "checkpoints", step] => format!("{run}-{step}"),
        [.., last] => last.to_owned(),
        [] => "model".to_owned(),
    }
}

/// The end of a data set's path, which tells more than its beginning.
pub fn short_data(data: &str) -> String {
    let parts: Vec<&str> = data.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        // An annotation file is told by its set and its split.
        [.., set, "annotations", file] => {
            let name = file.strip_suffix(".json").unwrap_or(file);
            format!("{set}/{}", name.strip_prefix("coco_karpathy_").unwrap_or(name))
        }
        [.., folder, last] => format!("{folder}/{last}"),
        [last] => last.to_owned(),
        [] => "data".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        assert_eq!(short_model("runs/a/checkpoints/step-12"), "a-step-12");
        assert_eq!(
            (short_model("CoCa-ViT-B-32"), short_model("m/w.safetensors"), short_model("")),
            ("CoCa-ViT-B-32".into(), "w.safetensors".into(), "model".into())
        );
        assert_eq!(short_data("/d/coco/annotations/coco_karpathy_test.json"), "coco/test");
        assert_eq!((short_data("/a/b/c"), short_data("c")), ("b/c".into(), "c".into()));
    }
}
