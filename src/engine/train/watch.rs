//! Looks at what the model can do while it is being trained, without changing anything of the training.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use data::picture::Preprocess;
use data::zero_shot::ClassFolders;
use run::events::{Body, Evaluation, Sample, State};
use tch::{Kind, Tensor};

use super::{TrainError, Trainer};
use crate::evaluate::zero_shot;
use crate::evaluate::{Captioner, Unreadable, read_pictures};
use crate::loss::{LossWeights, coca_loss};
use crate::model::TextBatch;

/// Shortest time between two words of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// A held-out picture with what people wrote of it.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The picture, as it can be opened.
    pub image: PathBuf,
    /// The picture, as the annotations name it.
    pub name: String,
    /// Its captions, at least one.
    pub captions: Vec<String>,
    /// What it shows, where the data set is drawn and so knows.
    pub truth: Option<data::demo::Scene>,
}

/// What is looked at.
#[derive(Debug)]
pub struct Watched {
    /// Picture preparation without augmentation.
    pub preprocess: Preprocess,
    /// Pictures of the held-out loss.
    pub held_out: Vec<Reference>,
    /// Pictures that get sample captions, fixed over the run.
    pub samples: Vec<Reference>,
    /// Pictures that are captioned at the end.
    pub test: Vec<Reference>,
    /// The zero-shot set.
    pub zero_shot: Option<ClassFolders>,
}

impl Trainer<'_> {
    fn captioner(&self) -> Captioner<'_> {
        Captioner {
            model: &self.model,
            tokenizer: &self.tokenizer,
            preprocess: &self.watched.preprocess,
            max_len: u32::try_from(self.model.config.text.context_length).unwrap_or(u32::MAX),
        }
    }

    fn warn_unreadable(&self, unreadable: &[Unreadable]) {
        for picture in unreadable {
            self.link.event(Body::warning("broken_record", format!("held-out picture left out: {picture}")));
        }
    }

    /// What is due every eval_steps: mean losses over held-out pairs, and zero-shot classification where a set is named.
    pub(super) fn measure(&mut self) -> Result<(), TrainError> {
        if !self.watched.held_out.is_empty() {
            self.state(State::Evaluating, Some("held-out loss".to_owned()));
            let figures = tch::no_grad(|| self.held_out_figures())?;
            self.held_out_loss = figures.get("loss").copied();
            self.report("held_out", self.watched.held_out.len(), figures);
        }
        // The last words of a run classify the same set on the same weights.
        let last = self.settings.predictions && self.step >= self.schedule.total;
        let named = self.settings.classification_eval.is_some() && !last;
        if let Some(set) = self.watched.zero_shot.as_ref().filter(|_| named) {
            let figures = self.classify(set)?;
            self.report("zero_shot", set.images.len(), figures);
        }
        self.forget_time();
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn held_out_figures(&self) -> Result<BTreeMap<String, f64>, TrainError> {
        let (config, device) = (&self.model.config, self.compute.device);
        let context = usize::try_from(config.text.context_length).unwrap_or(1);
        let weights = LossWeights {
            contrastive: self.settings.coca_contrastive_loss_weight,
            caption: self.settings.coca_caption_loss_weight,
        };
        let (mut sums, mut pairs) = ([0.0; 3], 0.0);
        for references in self.watched.held_out.chunks(self.eval_batch()) {
            let paths: Vec<&PathBuf> = references.iter().map(|r| &r.image).collect();
            let (images, read, unreadable) = read_pictures(&paths, &self.watched.preprocess, device)?;
            self.warn_unreadable(&unreadable);
            let Some(image_bchw) = images else { continue };
            let mut ids = Vec::with_capacity(read.len() * context);
            for index in &read {
                let caption = references[*index].captions.first().map_or("", String::as_str);
                ids.extend(self.tokenizer.encode(caption, context)?);
            }
            let ids_bs = Tensor::f_from_slice(&ids)?.f_view([read.len() as i64, context as i64])?;
            let text = TextBatch::trimmed(&ids_bs, config, device)?;
            let losses = coca_loss(&self.model, &image_bchw, &text, weights, None)?;
            for (sum, loss) in sums.iter_mut().zip([&losses.total, &losses.contrastive, &losses.caption]) {
                *sum += f64::try_from(loss.f_to_kind(Kind::Double)?)? * read.len() as f64;
            }
            pairs += read.len() as f64;
        }
        let names = ["loss", "contrastive_loss", "caption_loss"];
        Ok(names.into_iter().zip(sums).map(|(name, sum)| (name.to_owned(), sum / pairs)).collect())
    }

    /// Captions the fixed sample pictures.
    pub(super) fn caption_samples(&mut self) -> Result<(), TrainError> {
        if self.watched.samples.is_empty() {
            return Ok(());
        }
        self.state(State::Evaluating, Some("sample captions".to_owned()));
        let paths: Vec<&PathBuf> = self.watched.samples.iter().map(|r| &r.image).collect();
        let (captions, unreadable) = tch::no_grad(|| self.captioner().caption(&paths))?;
        self.warn_unreadable(&unreadable);
        for (index, (reference, caption)) in self.watched.samples.iter().zip(captions).enumerate() {
            let Some(caption) = caption else { continue };
            self.link.event(Body::Sample(Sample {
                step: self.step,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                image: reference.image.display().to_string(),
                reference: reference.captions.first().cloned().unwrap_or_default(),
                caption,
            }));
        }
        self.forget_time();
        Ok(())
    }

    /// The run's last words: a caption of every test picture into `predictions.jsonl`, and the figures.
    pub(super) fn predict(&mut self) -> Result<(), TrainError> {
        self.state(State::Evaluating, Some("captions of the test pictures".to_owned()));
        let mut figures = BTreeMap::new();
        if let Some(set) = &self.watched.zero_shot {
            let zero_shot = self.classify(set)?;
            figures.insert("zero_shot_top1".to_owned(), zero_shot.get("top1").copied().unwrap_or(f64::NAN));
            self.report("zero_shot", set.images.len(), zero_shot);
        }
        let captions = self.caption_test()?;
        let lines: Result<String, serde_json::Error> = captions
            .iter()
            .map(|(reference, caption)| {
                let line = serde_json::json!({
                    "image": reference.name, "reference": reference.captions.first(), "caption": caption
                });
                serde_json::to_string(&line).map(|l| l + "\n")
            })
            .collect();
        let path = self.run.predictions();
        let io = |e: std::io::Error| TrainError::Checkpoint { path: path.clone(), why: e.to_string() };
        let lines = lines.map_err(|e| io(e.into()))?;
        run::dir::replace_file(&path, lines.as_bytes()).map_err(io)?;
        figures.extend(score(&captions));
        if !figures.is_empty() {
            self.report("predictions", captions.len(), figures);
        }
        Ok(())
    }

    fn caption_test(&self) -> Result<Vec<(&Reference, String)>, TrainError> {
        let mut all = Vec::with_capacity(self.watched.test.len());
        let mut told = Instant::now();
        for references in self.watched.test.chunks(self.eval_batch()) {
            let paths: Vec<&PathBuf> = references.iter().map(|r| &r.image).collect();
            let (captions, unreadable) = tch::no_grad(|| self.captioner().caption(&paths))?;
            self.warn_unreadable(&unreadable);
            all.extend(references.iter().zip(captions).filter_map(|(r, c)| Some((r, c?))));
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                self.progress("predictions", all.len(), self.watched.test.len());
            }
        }
        Ok(all)
    }

    fn classify(&self, set: &ClassFolders) -> Result<BTreeMap<String, f64>, TrainError> {
        self.state(State::Evaluating, Some("zero-shot".to_owned()));
        let (model, tokenizer, preprocess) = (&self.model, &self.tokenizer, &self.watched.preprocess);
        let batch = self.eval_batch();
        let mut told = Instant::now();
        let hear = |done, total| {
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                self.progress("zero_shot", done, total);
            }
            true
        };
        let result = tch::no_grad(|| zero_shot::evaluate(model, tokenizer, preprocess, set, batch, hear))?;
        self.warn_unreadable(&result.unreadable);
        Ok(result.figures())
    }

    fn progress(&self, task: &str, done: usize, total: usize) {
        self.link.event(Body::Evaluation(Evaluation {
            step: self.step,
            task: task.to_owned(),
            done: done as u64,
            total: total as u64,
            result: None,
        }));
    }

    fn report(&self, task: &str, n: usize, figures: BTreeMap<String, f64>) {
        self.link.event(Body::Evaluation(Evaluation {
            step: self.step,
            task: task.to_owned(),
            done: n as u64,
            total: n as u64,
            result: Some(figures),
        }));
    }

    fn eval_batch(&self) -> usize {
        usize::try_from(self.settings.per_device_eval_batch_size).unwrap_or(1)
    }
}

/// Shares of attributes and of captions that are right, over pictures whose truth is known.
#[allow(clippy::cast_precision_loss)]
fn score(captions: &[(&Reference, String)]) -> BTreeMap<String, f64> {
    let (mut right, mut total, mut whole, mut n) = (0, 0, 0, 0);
    let (mut novel_whole, mut novel) = (0, 0);
    for (reference, caption) in captions {
        let Some(truth) = &reference.truth else { continue };
        let s = data::demo::score(truth, caption);
        right += s.attributes_right;
        total += s.attributes_total;
        whole += usize::from(s.wholly_right);
        n += 1;
        if truth.is_novel() {
            novel += 1;
            novel_whole += usize::from(s.wholly_right);
        }
    }
    if n == 0 {
        return BTreeMap::new();
    }
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    BTreeMap::from([
        ("attributes".to_owned(), share(right, total)),
        ("wholly_right".to_owned(), share(whole, n)),
        ("novel_wholly_right".to_owned(), share(novel_whole, novel)),
    ])
}
