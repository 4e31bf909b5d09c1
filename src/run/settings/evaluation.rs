//! The settings of an evaluation: what the form of the Evaluate tab asks, and an item of its queue holds.

use super::Value;
use super::schema::{Kind, SettingError};
use crate::decoding::{Compat, Decoding, DecodingError, Method};

settings! {
    /// The settings of an evaluation.
    EvaluationSettings
    "What" {
        task: String = "zero-shot".to_owned(), Kind::Choice(&["zero-shot", "retrieval", "caption"]), Never, "", "zero-shot: top-1 and top-5 over classes; retrieval: recall of captions and pictures; caption: BLEU, ROUGE-L, CIDEr-D.";
        model: Option<String> = None, Kind::Text, Never, "", "A checkpoint or a run (its newest one), a model folder, a weights file, a known name; unset takes the newest run.";
        model_config: Option<String> = None, Kind::Text, Never, "", "Shape of a weights file that has no config beside it: a known name or a JSON file.";
        data: Option<String> = None, Kind::Path, Never, "", "Zero-shot: a folder of class folders; else annotations with pictures (the test split). Unset takes the run's own data.";
        image_root: Option<String> = None, Kind::Path, Never, "", "Folder that the annotations' image paths are relative to, where it is not the usual one.";
        templates: String = "own".to_owned(), Kind::Text, Never, "", "Prompts of zero-shot: own (the set's), imagenet (80), simple (7), or a file with a template a line.";
        tokenizer: Option<String> = None, Kind::Path, Never, "", "Another tokenizer.json than the model's own; clip for CLIP's.";
    }
    "How captions are written" {
        method: String = "beam".to_owned(), Kind::Choice(&["beam", "greedy", "sample"]), Never, "", "How captions are written for their scores: beam search, the likeliest id at each step, or a draw.";
        beams: u64 = 6, Kind::Integer(1, 1024), Never, "beams", "Beams of the search.";
        groups: u64 = 1, Kind::Integer(1, 1024), Never, "groups", "Groups of beams, which divide them.";
        diversity_penalty: f64 = 0.0, Kind::Real(0.0, f64::INFINITY), Never, "", "Makes an id less likely that an earlier group chose.";
        length_penalty: f64 = 1.0, Kind::Real(f64::NEG_INFINITY, f64::INFINITY), Never, "", "Divides a beam's score by its length to this power.";
        top_k: Option<u64> = None, Kind::Integer(1, 1_000_000), Never, "ids", "Draw from so many likeliest ids; unset takes all.";
        top_p: Option<f64> = None, Kind::Real(0.0, 1.0), Never, "", "Draw from the likeliest ids up to this probability; unset takes all.";
        temperature: f64 = 1.0, Kind::Real(0.0, f64::INFINITY), Never, "", "Divides the logits before a draw.";
        seed: u64 = 42, Kind::Integer(0, i64::MAX), Never, "", "Seed of draws.";
        repetition_penalty: f64 = 1.0, Kind::Real(0.0, f64::INFINITY), Never, "", "Above 1 makes ids that are there already less likely.";
        min_len: u64 = 5, Kind::Integer(0, 100_000), Never, "ids", "No end before this length.";
        max_len: u64 = 30, Kind::Integer(2, 100_000), Never, "ids", "The end at the latest.";
        prompt: Option<String> = None, Kind::Text, Never, "", "Text that every caption begins with.";
        compat: Option<String> = None, Kind::Choice(&["openclip-3.3"]), Never, "", "Reproduce another program's ids: openclip-3.3 to compare with its scores.";
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
    /// Whether a setting means something for the task and the way captions are written.
    pub fn matters(task: &str, method: &str, name: &str) -> bool {
        match name {
            "templates" => task == "zero-shot",
            "image_root" => task != "zero-shot",
            // Captions are scored as the model writes them, in float32.
            "precision" => task != "caption",
            "beams" | "groups" | "diversity_penalty" | "length_penalty" => {
                task == "caption" && method == "beam"
            }
            "top_k" | "top_p" | "temperature" | "seed" => task == "caption" && method == "sample",
            "method" | "repetition_penalty" | "min_len" | "max_len" | "prompt" | "compat" => {
                task == "caption"
            }
            _ => true,
        }
    }

    /// How captions are written.
    ///
    /// # Errors
    /// The first setting that breaks its rule.
    pub fn decoding(&self) -> Result<Decoding, DecodingError> {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let method = match self.method.as_str() {
            "greedy" => Method::Greedy,
            "sample" => Method::Sample { top_k: self.top_k.map(small), top_p: self.top_p },
            _ => Method::Beam {
                beams: small(self.beams),
                groups: small(self.groups),
                diversity_penalty: self.diversity_penalty,
                length_penalty: self.length_penalty,
            },
        };
        let decoding = Decoding {
            method,
            captions: 1,
            temperature: self.temperature,
            repetition_penalty: self.repetition_penalty,
            min_len: small(self.min_len),
            max_len: small(self.max_len),
            prompt: self.prompt.clone(),
            seed: self.seed,
            compat: self.compat.as_ref().map(|_| Compat::OpenClip33),
        };
        decoding.validate().map(|()| decoding)
    }

    /// The command line that does it, after the program's name, with runs looked for in `output_dir`.
    pub fn arguments(&self, output_dir: &str) -> Vec<String> {
        let mut all = vec!["eval".to_owned(), self.task.clone()];
        let zero_shot = self.task == "zero-shot";
        let matters = |name: &str| Self::matters(&self.task, &self.method, name);
        let number = |n: u64| Some(n.to_string());
        let flags = [
            ("model", self.model.clone()),
            ("model_config", self.model_config.clone()),
            ("tokenizer", self.tokenizer.clone()),
            (if zero_shot { "classification_eval" } else { "data" }, self.data.clone()),
            ("image_root", self.image_root.clone().filter(|_| matters("image_root"))),
            ("templates", matters("templates").then(|| self.templates.clone())),
            ("device", Some(self.device.clone())),
            ("precision", matters("precision").then(|| self.precision.clone())),
            ("batch", number(self.batch)),
            ("threads", self.threads.and_then(number)),
            ("nproc_per_node", Some(self.nproc_per_node).filter(|n| *n > 1).and_then(number)),
            ("output_dir", Some(output_dir.to_owned())),
        ];
        for (name, value) in flags {
            // With a sign between, a value may begin with a dash.
            all.extend(value.map(|value| format!("--{name}={value}")));
        }
        if self.task != "caption" {
            return all;
        }
        // A draw is told by what it draws from, so that one of them is always said.
        let draws_from_all = self.method == "sample" && self.top_k.is_none() && self.top_p.is_none();
        match self.method.as_str() {
            "greedy" => all.push("--greedy".to_owned()),
            _ if draws_from_all => all.push("--top_p=1".to_owned()),
            _ => {}
        }
        let usual = Self::default();
        let group = Self::setting("method").map_or("", |method| method.group);
        let of_captions = Self::ALL.iter().filter(|s| s.group == group && s.name != "method");
        for name in of_captions.map(|s| s.name).filter(|name| matters(name)) {
            if let Some(value) = self.get(name).filter(|value| usual.get(name).as_ref() != Some(value)) {
                all.push(format!("--{name}={value}"));
            }
        }
        all
    }

    /// Sets what says how captions are written.
    ///
    /// # Errors
    /// A value that breaks the setting's rule.
    pub fn write_as(&mut self, decoding: &Decoding) -> Result<(), SettingError> {
        let usual = Self::default();
        let integer = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let number = |n: u32| Value::Integer(i64::from(n));
        let text = |text: &str| Value::Text(text.to_owned());
        let or_unset = |value: Option<Value>| value.unwrap_or(Value::Unset);
        let (method, beam, top_k, top_p) = match decoding.method {
            Method::Greedy => ("greedy", None, None, None),
            Method::Beam { beams, groups, diversity_penalty, length_penalty } => {
                ("beam", Some((beams, groups, diversity_penalty, length_penalty)), None, None)
            }
            Method::Sample { top_k, top_p } => ("sample", None, top_k, top_p),
        };
        let (beams, groups, diversity, length) = beam.unwrap_or((
            u32::try_from(usual.beams).unwrap_or(6),
            1,
            usual.diversity_penalty,
            usual.length_penalty,
        ));
        let prompt = decoding.prompt.as_deref().filter(|prompt| !prompt.trim().is_empty());
        let all = [
            ("method", text(method)),
            ("beams", number(beams)),
            ("groups", number(groups)),
            ("diversity_penalty", Value::Real(diversity)),
            ("length_penalty", Value::Real(length)),
            ("top_k", or_unset(top_k.map(number))),
            ("top_p", or_unset(top_p.map(Value::Real))),
            ("temperature", Value::Real(decoding.temperature)),
            ("seed", integer(decoding.seed)),
            ("repetition_penalty", Value::Real(decoding.repetition_penalty)),
            ("min_len", number(decoding.min_len)),
            ("max_len", number(decoding.max_len)),
            ("prompt", or_unset(prompt.map(text))),
            ("compat", or_unset(decoding.compat.map(|_| text("openclip-3.3")))),
        ];
        all.into_iter().try_for_each(|(name, value)| self.put(Self::setting(name)?, value).map(drop))
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
        assert!(!arguments.contains("beams") && !arguments.contains("precision"), "{arguments}");
    }

    #[test]
    fn what_is_unusual_of_captions_stands_in_the_command_line() {
        let mut settings = EvaluationSettings { task: "caption".to_owned(), ..Default::default() };
        let words = |s: &EvaluationSettings| s.arguments("/runs").split_off(5).join(" ");
        assert_eq!(words(&settings), "");
        for (name, value) in
            [("beams", "4"), ("length_penalty", "0.5"), ("top_k", "3"), ("prompt", "a photo")]
        {
            settings.assign(name, value).unwrap();
        }
        // What is of draws says nothing of beams.
        assert_eq!(words(&settings), "--beams=4 --length_penalty=0.5 --prompt=a photo");
        settings.assign("method", "sample").unwrap();
        assert_eq!(words(&settings), "--top_k=3 --prompt=a photo");
        settings.assign("top_k", "").unwrap();
        assert_eq!(words(&settings), "--top_p=1 --prompt=a photo");
        settings.assign("method", "greedy").unwrap();
        assert_eq!(words(&settings), "--greedy --prompt=a photo");
    }

    #[test]
    fn decodings_go_there_and_back() {
        let greedy = Decoding { method: Method::Greedy, max_len: 12, ..Decoding::default() };
        let draw = Method::Sample { top_k: Some(4), top_p: None };
        let draw = Decoding { method: draw, seed: 7, prompt: Some("a".into()), ..Decoding::default() };
        let groups = Method::Beam { beams: 6, groups: 3, diversity_penalty: 0.5, length_penalty: 2.0 };
        let groups =
            Decoding { method: groups, compat: Some(Compat::OpenClip33), min_len: 0, ..Decoding::default() };
        for decoding in [Decoding::default(), greedy, draw, groups] {
            let mut settings = EvaluationSettings::default();
            settings.write_as(&decoding).unwrap();
            assert_eq!(settings.decoding().unwrap(), decoding);
        }
        // A prompt is text, whatever it says.
        for prompt in ["unset", "None", " a"] {
            let decoding = Decoding { prompt: Some(prompt.into()), ..Decoding::default() };
            let mut settings = EvaluationSettings::default();
            settings.write_as(&decoding).unwrap();
            assert_eq!(settings.decoding().unwrap(), decoding);
        }
        let bad = EvaluationSettings { min_len: 40, ..EvaluationSettings::default() };
        assert_eq!(bad.decoding().unwrap_err().name, "min_len");
    }
}
