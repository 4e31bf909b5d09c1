//! A result with all that it is made of: of zero-shot the classes, what is taken for what, the pictures that went wrong;
//! of retrieval the pictures and texts with their ranks; of captions each picture's with its scores.

mod entries;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use data::zero_shot::{ClassFolders, Templates};
use serde_json::Value;

use super::results::Outcome;

pub use entries::{Captioned, IMAGES, Image, PICTURES, TEXTS, Text};

/// Wrong pictures that are kept; a list of more is looked at by nobody.
const WRONG: usize = 5000;

/// A class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its pictures.
    pub n: u64,
    /// Share whose class came first, 0..1.
    pub top1: f64,
    /// Share whose class was among the first five, 0..1.
    pub top5: f64,
}

/// A class that is taken for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The right class.
    pub class: String,
    /// The answer.
    pub taken_for: String,
    /// How often.
    pub n: u64,
}

/// A picture whose class did not come first.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Where it is.
    pub picture: PathBuf,
    /// Its class.
    pub class: u32,
    /// The likeliest classes with their logits, the likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// A result. What another task would have is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Its figures.
    pub outcome: Outcome,
    /// The classes, in the order of the set; none where there are no classes.
    pub classes: Vec<Class>,
    /// What is taken for what, the most frequent first.
    pub pairs: Vec<Pair>,
    /// Pictures whose class did not come first.
    pub wrong: Vec<Wrong>,
    /// How many there are of them.
    pub wrong_count: usize,
    /// Every picture that has an answer, with its class.
    pub pictures: Vec<(PathBuf, u32)>,
    /// The templates.
    pub templates: Vec<String>,
    /// Pictures of retrieval, in the order of the data.
    pub images: Vec<Image>,
    /// Texts of retrieval, in the order of the data.
    pub texts: Vec<Text>,
    /// Pictures that were captioned, in the order of the data.
    pub captioned: Vec<Captioned>,
    /// Pictures that could not be read, and why.
    pub unreadable: Vec<(String, String)>,
}

impl Opened {
    /// Reads the result in an evaluation's folder.
    ///
    /// # Errors
    /// What is not there or cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let json = |name: &str| -> Result<Value, String> {
            let file = folder.join(name);
            let bytes = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", file.display()))
        };
        let outcome = Outcome::read(folder)
            .ok_or_else(|| format!("{}: there is no result that can be read", folder.display()))?;
        let (request, result) = (json("request.json")?, json("result.json")?);
        let list = |name: &str| result.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        let whole = |v: &Value, name: &str| v.get(name).and_then(Value::as_u64).unwrap_or(0);
        let share = |v: &Value, name: &str| v.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let classes = list("per_class").into_iter().map(|c| Class {
            name: text(&c, "class"),
            n: whole(&c, "n"),
            top1: share(&c, "top1"),
            top5: share(&c, "top5"),
        });
        let pairs = list("confusions").into_iter().map(|c| Pair {
            class: text(&c, "class"),
            taken_for: text(&c, "taken_for"),
            n: whole(&c, "n"),
        });
        let unreadable = result.get("unreadable").and_then(Value::as_object);
        let unreadable =
            unreadable.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or("?").to_owned()));
        let mut opened = Self {
            classes: classes.collect(),
            pairs: pairs.collect(),
            unreadable: unreadable.collect(),
            wrong: Vec::new(),
            wrong_count: 0,
            pictures: Vec::new(),
            templates: Vec::new(),
            images: Vec::new(),
            texts: Vec::new(),
            captioned: Vec::new(),
            outcome,
        };
        match opened.outcome.task.as_str() {
            "zero-shot" => opened.answers(folder, &request)?,
            "retrieval" => (opened.images, opened.texts) = entries::ranked(folder)?,
            _ => opened.captioned = entries::captioned(folder)?,
        }
        Ok(opened)
    }

    fn answers(&mut self, folder: &Path, request: &Value) -> Result<(), String> {
        let set = Path::new(&self.outcome.data);
        let images = set.join("images");
        let root = if images.is_dir() { images } else { set.to_owned() };
        let named = request.get("templates").and_then(Value::as_str).unwrap_or("own");
        // The set may have gone meanwhile: its figures are still there.
        self.templates = ClassFolders::with_templates(set, &Templates::named(named))
            .map_or_else(|_| Vec::new(), |s| s.templates);
        let file = folder.join("answers.jsonl");
        let lines = std::fs::File::open(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            let Some((name, class, top)) = answer(&line) else { continue };
            let picture = root.join(name);
            if top.first().is_some_and(|(first, _)| *first != class) {
                self.wrong_count += 1;
                if self.wrong.len() < WRONG {
                    self.wrong.push(Wrong { picture: picture.clone(), class, top });
                }
            }
            self.pictures.push((picture, class));
        }
        // Answers come as they were given; people look for them by class.
        self.wrong.sort_by(|a, b| (a.class, &a.picture).cmp(&(b.class, &b.picture)));
        self.pictures.sort();
        Ok(())
    }

    /// The name of a class.
    pub fn class(&self, number: u32) -> &str {
        self.classes.get(number as usize).map_or("?", |c| c.name.as_str())
    }
}

type Answer = (String, u32, Vec<(u32, f32)>);

fn answer(line: &str) -> Option<Answer> {
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |v: &Value| u32::try_from(v.as_u64()?).ok();
    let pair = |v: &Value| {
        #[allow(clippy::cast_possible_truncation)]
        let logit = v.get(1)?.as_f64()? as f32;
        Some((number(v.get(0)?)?, logit))
    };
    let top = value.get("top")?.as_array()?.iter().filter_map(pair).collect();
    Some((value.get("image")?.as_str()?.to_owned(), number(value.get("class")?)?, top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_opened_with_its_wrong_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("set");
        for class in ["a", "b"] {
            std::fs::create_dir_all(set.join("images").join(class)).unwrap();
        }
        std::fs::write(set.join("templates.txt"), "one {}\ntwo {}\n").unwrap();
        let folder = dir.path().join("evaluation");
        std::fs::create_dir(&folder).unwrap();
        let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        put("request.json", format!(r#"{{"task":"zero-shot","set":{:?},"templates":"own"}}"#, set));
        put(
            "result.json",
            r#"{"top1":0.5,"top5":1,"n":2,"model":"m","unreadable":{"b/x.png":"empty"},
               "per_class":[{"class":"a","n":1,"top1":1,"top5":1},{"class":"b","n":1,"top1":0,"top5":1}],
               "confusions":[{"class":"b","taken_for":"a","n":1}]}"#
                .to_owned(),
        );
        let answers = [
            r#"{"image":"b/2.png","class":1,"top":[[0,25.5],[1,20.0]]}"#,
            "rubbish",
            r#"{"image":"a/1.png","class":0,"top":[[0,25.5],[1,20.0]]}"#,
        ];
        put("answers.jsonl", answers.join("\n"));
        let opened = Opened::read(&folder).unwrap();
        assert_eq!((opened.classes.len(), opened.pairs.len(), opened.wrong_count), (2, 1, 1));
        assert_eq!(opened.wrong[0].picture, set.join("images/b/2.png"));
        assert_eq!((opened.class(1), opened.pictures.len()), ("b", 2));
        assert_eq!(opened.templates, ["one {}", "two {}"]);
        assert_eq!(opened.unreadable, [("b/x.png".to_owned(), "empty".to_owned())]);
        assert!(Opened::read(dir.path()).unwrap_err().contains("no result"));
    }
}
