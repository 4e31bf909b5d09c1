//! The settings of an evaluation: what the form of the Evaluate tab asks, and an item of its queue holds.

use super::schema::Kind;

settings! {
    /// The settings of an evaluation.
    EvaluationSettings
    "What" {
        task: String = "zero-shot".to_owned(), Kind::Choice(&["zero-shot", "retrieval", "caption"]), Never, "", "zero-shot: top-1 and top-5 over classes; retrieval: recall of captions and pictures; caption: BLEU, ROUGE-L, CIDEr-D.";
        model: Option<String> = None, Kind::Text, Never, "", "A checkpoint or a run (its newest one), a model folder, a weights file, a known name; unset takes the newest run.";
        model_config: Option<String> = None, Kind::Text, Never, "", "Shape of a weights file that has no config beside it: a known name or a JSON file.";
        data: Option<String> = None, Kind::Path, Never, "", "Zero-shot: a folder of class folders; else annotations with pictures (the test split). Unset takes the run's own data.";
        templates: String = "own".to_owned(), Kind::Text, Never, "", "Prompts of zero-shot: own (the set's), imagenet (80), simple (7), or a file with a template a line.";
        captions: String = "beam".to_owned(), Kind::Choice(&["beam", "greedy"]), Never, "", "How captions are written for their scores: beam search with 6 beams, or the likeliest id at each step.";
    }
    "How" {
        device: String = "auto".to_owned(), Kind::Choice(&["auto", "cpu", "cuda"]), Never, "", "Where to compute; auto takes CUDA when a device is there.";
        precision: String = "float32".to_owned(), Kind::Choice(&["float32", "bfloat16", "float16"]), Never, "", "What the towers compute in; float16 needs a GPU.";
        batch: u64 = 16, Kind::Integer(1, 65536), Never, "pictures", "Pictures or texts at a time; halved when memory runs out.";
        threads: Option<u64> = None, Kind::Integer(1, 4096), Never, "threads", "Compute threads; unset takes all cores.";
        nproc_per_node: u64 = 1, Kind::Integer(1, 64), Never, "processes", "Processes that share the pictures.";
    }
}

impl EvaluationSettings {
    /// The command line that does it, after the program's name, with runs looked for in `output_dir`.
    pub fn arguments(&self, output_dir: &str) -> Vec<String> {
        let mut all = vec!["eval".to_owned(), self.task.clone()];
        let zero_shot = self.task == "zero-shot";
        let number = |n: u64| Some(n.to_string());
        let flags = [
            ("model", self.model.clone()),
            ("model_config", self.model_config.clone()),
            (if zero_shot { "classification_eval" } else { "data" }, self.data.clone()),
            ("templates", zero_shot.then(|| self.templates.clone())),
            ("device", Some(self.device.clone())),
            ("precision", Some(self.precision.clone())),
            ("batch", number(self.batch)),
            ("threads", self.threads.and_then(number)),
            ("nproc_per_node", Some(self.nproc_per_node).filter(|n| *n > 1).and_then(number)),
            ("output_dir", Some(output_dir.to_owned())),
        ];
        if self.task == "caption" && self.captions == "greedy" {
            all.push("--greedy".to_owned());
        }
        for (name, value) in flags {
            // With a sign between, a value may begin with a dash.
            all.extend(value.map(|value| format!("--{name}={value}")));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_what_is_set() {
        let mut settings = EvaluationSettings::default();
        settings.assign("model", "-odd name").unwrap();
        settings.assign("data", "val").unwrap();
        assert!(settings.assign("task", "magic").is_err() && settings.assign("batch", "0").is_err());
        let arguments = settings.arguments("/runs");
        assert_eq!(arguments[..4], ["eval", "zero-shot", "--model=-odd name", "--classification_eval=val"]);
        settings.task = "caption".to_owned();
        let arguments = settings.arguments("/runs").join(" ");
        assert!(arguments.contains("--data=val") && !arguments.contains("templates"), "{arguments}");
    }
}
