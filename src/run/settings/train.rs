//! The settings of a training run, each declared once.

use super::schema::{Kind, SettingError};
use crate::mesh::{Degrees, Stage};

/// Any number of steps, bytes or entries.
const COUNT: Kind = Kind::Integer(0, i64::MAX);
const POSITIVE: Kind = Kind::Integer(1, i64::MAX);
const RATE: Kind = Kind::Real(0.0, 10.0);
const WEIGHT: Kind = Kind::Real(0.0, f64::INFINITY);
const FRACTION: Kind = Kind::Real(0.0, 1.0);
/// The brightness of a pixel, or a difference of two.
const BYTE: Kind = Kind::Real(0.0, 255.0);

settings! {
    /// The settings of a training run.
    Settings
    "Model" {
        model: Option<String> = None, Kind::Text, Never, "", "Model whose weights to start from: a known name, a folder, a weights file or a run.";
        model_config: Option<String> = None, Kind::Text, Never, "", "Architecture: a name (coca_ViT-B-32, coca_ViT-L-14, coca_base, coca_demo) or a JSON file.";
        pretrained: bool = true, Kind::Bool, Never, "", "Load the model's weights; false starts from scratch.";
        pretrained_model_path: Option<String> = None, Kind::Path, Never, "", "Weights file to start from instead of the model's own.";
        tokenizer: Option<String> = None, Kind::Text, Never, "", "Tokenizer: clip, dataset (the data set's own tokenizer.json) or a tokenizer.json; unset follows the model.";
        correct_cls_mask: bool = false, Kind::Bool, Never, "", "Mask padding for the text CLS token without open_clip's off-by-one; no published weights use it.";
        context_length: Option<u64> = None, Kind::Integer(4, 4096), Never, "tokens", "Text length; unset follows the model.";
    }
    "Data" {
        train_data: Option<String> = None, Kind::Path, Never, "", "Training captions: an annotation file, tar shards (brace lists, ::), or the folder of a data set; see docs/datasets.md.";
        task_name: Option<String> = None, Kind::Text, Never, "", "PaddleMIX's name for the data: coco_clip, or the path of a laion.filelist.";
        val_data: Option<String> = None, Kind::Path, Never, "", "Held-out captions; unset takes the data set's own val split.";
        image_root: Option<String> = None, Kind::Path, Never, "", "Folder that image paths are relative to; unset searches beside the annotation file.";
        data_format: Option<String> = None, Kind::Choice(&["karpathy", "jsonl", "csv", "laion", "webdataset", "sidecar", "classes"]), Never, "", "Format of the data; unset recognises it.";
        csv_img_key: Option<String> = None, Kind::Text, Never, "", "Column (or JSON field) of the picture; unset: filepath of a table, image of JSON.";
        csv_caption_key: Option<String> = None, Kind::Text, Never, "", "Column (or JSON field) of the caption; unset: title of a table, caption of JSON.";
        csv_separator: Option<String> = None, Kind::Text, Never, "", "What separates columns: one character, or tab; unset: a tab where the header has one, else a comma.";
        per_device_train_batch_size: u64 = 16, POSITIVE, Restart, "samples", "Samples of one rank in one micro-step.";
        per_device_eval_batch_size: u64 = 32, POSITIVE, Restart, "samples", "Samples of one rank in one step of an evaluation.";
        dataloader_num_workers: u64 = 1, Kind::Integer(1, 256), Restart, "threads", "Threads that decode and prepare pictures.";
        train_crop_min: f64 = 0.9, FRACTION, Restart, "", "Smallest share of a picture that RandomResizedCrop keeps; 1 turns the augmentation off.";
        max_broken_records: u64 = 100, COUNT, Restart, "records", "Broken records in a row that stop the run.";
    }
    "Check" {
        check_min_side: u64 = 16, Kind::Integer(0, 1_000_000), Never, "pixels", "Data check: pictures with a shorter side are outliers.";
        check_max_aspect: f64 = 6.0, Kind::Real(1.0, f64::INFINITY), Never, "", "Data check: pictures whose longer side is more times the shorter one are outliers.";
        check_dark: f64 = 16.0, BYTE, Never, "", "Data check: a lower mean brightness (0 to 255) is dark.";
        check_bright: f64 = 242.0, BYTE, Never, "", "Data check: a higher mean brightness (0 to 255) is bright.";
        check_blur: f64 = 8.0, WEIGHT, Never, "", "Data check: weaker sharpest edges are blurred; 0 turns it off.";
        check_near_bits: u64 = 6, Kind::Integer(0, 7), Never, "bits", "Data check: bits of 64 in which the hashes of near duplicates may differ.";
        check_near_difference: f64 = 1.5, BYTE, Never, "", "Data check: mean difference (0 to 255) of near duplicates.";
        check_repeated_images: u64 = 5, Kind::Integer(2, i64::MAX), Never, "pictures", "Data check: a caption of so many pictures is repeated...";
        check_repeated_share: f64 = 0.02, FRACTION, Never, "", "Data check: ...when they are this share of all pictures, too.";
    }
    "Schedule" {
        num_train_epochs: f64 = 3.0, WEIGHT, Live, "epochs", "Passes over the training data; max_steps takes precedence.";
        max_steps: Option<u64> = None, POSITIVE, Live, "steps", "Optimiser steps of the whole run; unset (or -1) follows num_train_epochs.";
        warmup_steps: u64 = 0, COUNT, Live, "steps", "Steps in which the learning rate rises from 0.";
        warmup_ratio: f64 = 0.0, FRACTION, Live, "", "Warm-up as a share of all steps, when warmup_steps is 0.";
        gradient_accumulation_steps: u64 = 1, POSITIVE, Restart, "micro-steps", "Micro-steps whose samples make one optimiser step.";
    }
    "Optimiser" {
        learning_rate: f64 = 5e-4, RATE, Live, "", "Peak learning rate.";
        visual_lr: Option<f64> = None, RATE, Live, "", "Peak learning rate of the image tower; unset follows learning_rate.";
        text_lr: Option<f64> = None, RATE, Live, "", "Peak learning rate of the text tower and the decoder; unset follows learning_rate.";
        weight_decay: f64 = 0.05, WEIGHT, Live, "", "Decoupled weight decay of matrices; gains, biases and the logit scale have none.";
        visual_wd: Option<f64> = None, WEIGHT, Live, "", "Weight decay of the image tower; unset follows weight_decay.";
        text_wd: Option<f64> = None, WEIGHT, Live, "", "Weight decay of the text tower and the decoder; unset follows weight_decay.";
        lock_image: bool = false, Kind::Bool, Restart, "", "Freeze the image tower: only the rest is trained.";
        lock_text: bool = false, Kind::Bool, Restart, "", "Freeze the text tower: only the rest, the decoder included, is trained.";
        layer_decay: Option<f64> = None, FRACTION, Restart, "", "Learning rate factor per layer towards the input; unset is 1.";
        adam_beta1: f64 = 0.9, FRACTION, Restart, "", "AdamW's decay of the mean of gradients.";
        adam_beta2: f64 = 0.999, FRACTION, Restart, "", "AdamW's decay of the mean of squared gradients.";
        adam_epsilon: f64 = 1e-8, FRACTION, Restart, "", "AdamW's epsilon.";
        adam_moments: String = "float32".to_owned(), Kind::Choice(&["float32", "bfloat16"]), Restart, "", "Format in which AdamW's two means are kept; bfloat16 takes half the memory and rounds them.";
        max_grad_norm: f64 = 1.0, WEIGHT, Live, "", "Gradients are scaled down to this norm; 0 turns clipping off, and one rank then updates while backward runs: no gradients are kept.";
    }
    "Loss" {
        coca_caption_loss_weight: f64 = 2.0, WEIGHT, Live, "", "Weight of the caption loss.";
        coca_contrastive_loss_weight: f64 = 1.0, WEIGHT, Live, "", "Weight of the contrastive loss.";
        local_loss: bool = false, Kind::Bool, Restart, "", "With gather_with_grad = false: a rank computes only its own rows of the contrastive loss, as open_clip; else it makes no difference.";
        gather_with_grad: bool = true, Kind::Bool, Restart, "", "Gradients flow through the features of other ranks, which makes them those of one process; false is open_clip's default.";
    }
    "Watching" {
        logging_steps: u64 = 1, POSITIVE, Live, "steps", "Steps between two points of the curves.";
        eval_steps: u64 = 500, COUNT, Live, "steps", "Steps between two measurements of the held-out loss (and of classification_eval); 0 turns it off.";
        eval_samples: u64 = 512, POSITIVE, Restart, "samples", "Held-out samples in one measurement.";
        sample_steps: u64 = 500, COUNT, Live, "steps", "Steps between two rounds of sample captions; 0 turns it off.";
        sample_count: u64 = 8, Kind::Integer(1, 64), Restart, "pictures", "Held-out pictures that get a sample caption each time.";
        predictions: bool = false, Kind::Bool, Restart, "", "Caption every test picture at the end and write predictions.jsonl.";
        classification_eval: Option<String> = None, Kind::Path, Restart, "", "Zero-shot set that is classified every eval_steps: images/<class>/ with labels.txt and templates.txt, or class folders.";
        pretrained_text_model: Option<String> = None, Kind::Text, Restart, "", "Accepted for PaddleMIX's command lines; the classifier's cache is keyed by its content.";
        tensorboard: bool = false, Kind::Bool, Restart, "", "Also write TensorBoard event files.";
        disable_tqdm: bool = false, Kind::Bool, Restart, "", "Accepted for PaddleMIX's command lines; without a terminal there is no progress bar anyway.";
    }
    "Checkpoints" {
        output_dir: String = "./runs".to_owned(), Kind::Path, Never, "", "Parent folder of run directories.";
        name: Option<String> = None, Kind::Text, Never, "", "Name of the run, [A-Za-z0-9._-]+; unset makes one.";
        save_steps: u64 = 500, COUNT, Live, "steps", "Steps between two checkpoints; 0 saves only at the end and when asked.";
        save_total_limit: u64 = 3, POSITIVE, Live, "checkpoints", "Newest checkpoints to keep; the best one is kept besides.";
        max_restarts: u64 = 3, Kind::Integer(0, 1000), Restart, "restarts", "Restarts after a crash without a new checkpoint between them.";
    }
    "Machine" {
        device: String = "auto".to_owned(), Kind::Choice(&["auto", "cpu", "cuda"]), Restart, "", "Where to compute; auto takes CUDA when a device is there.";
        devices: Option<String> = None, Kind::Text, Restart, "", "Which devices: indices or UUIDs with commas between.";
        threads: Option<u64> = None, Kind::Integer(1, 4096), Restart, "threads", "Compute threads of a rank; unset takes all cores.";
        bf16: bool = false, Kind::Bool, Restart, "", "Compute in bfloat16, weights kept in float32.";
        fp16: bool = false, Kind::Bool, Restart, "", "Compute in float16 with loss scaling (GPU only).";
        seed: u64 = 42, COUNT, Never, "", "Seed of initialisation, order and augmentation.";
        do_train: bool = true, Kind::Bool, Never, "", "Accepted for PaddleMIX's command lines; `train` always trains.";
    }
    "Parallel" {
        nproc_per_node: u64 = 1, Kind::Integer(1, 4096), Restart, "ranks", "Ranks on this machine.";
        nnodes: u64 = 1, Kind::Integer(1, 4096), Restart, "machines", "Machines; the same command runs on each, with its own node_rank.";
        node_rank: u64 = 0, COUNT, Never, "", "Index of this machine; 0 has rank 0 and owns the run directory.";
        master_addr: Option<String> = None, Kind::Text, Restart, "", "Address of the machine with rank 0, which listens on that address alone.";
        master_port: Option<u64> = None, Kind::Integer(1, 65535), Restart, "", "Port of the rendezvous; unset is 29500.";
        rendezvous_timeout: u64 = 600, POSITIVE, Restart, "seconds", "Machines wait so long for one another, at the start and after a death.";
        shared_output: bool = false, Kind::Bool, Restart, "", "output_dir is one file system on all machines: each rank reads and writes checkpoints itself.";
        tensor_parallel_degree: i64 = 1, Kind::Integer(-1, 4096), Restart, "ranks", "Ranks that share each matrix; they read the same samples.";
        sharding_parallel_degree: i64 = -1, Kind::Integer(-1, 4096), Restart, "ranks", "Ranks that share one copy of the model's state; -1: all where sharding is set, else 1.";
        sharding: Option<String> = None, Kind::Choice(&["stage1", "stage2", "stage3"]), Restart, "", "What is sharded: stage1 optimiser state, stage2 also gradients, stage3 also parameters.";
        recompute: bool = false, Kind::Bool, Restart, "", "Activation checkpointing: keep only the inputs of blocks, compute their inside again in backward.";
        collective_timeout: u64 = 600, POSITIVE, Restart, "seconds", "A rank that does not answer the others for so long counts as hung, and all start again.";
        caption_loss_rank_mean: bool = false, Kind::Bool, Restart, "", "Caption loss as the mean of each rank's mean, as open_clip; otherwise the mean over all tokens.";
    }
}

impl Settings {
    /// Checks what settings promise one another.
    ///
    /// # Errors
    /// [`SettingError::Conflict`], saying which settings and what to do.
    pub fn validate(&self) -> Result<(), SettingError> {
        let conflict = |text: String| Err(SettingError::Conflict(text));
        if self.bf16 && self.fp16 {
            return conflict("bf16 and fp16 are both set: choose one".to_owned());
        }
        if self.coca_caption_loss_weight == 0.0 && self.coca_contrastive_loss_weight == 0.0 {
            return conflict(
                "coca_caption_loss_weight and coca_contrastive_loss_weight are both 0: nothing would be trained".to_owned(),
            );
        }
        if let Some(text) = &self.csv_separator
            && self.csv_separator_byte().is_none()
        {
            return conflict(format!("csv_separator = {text}: it takes one ASCII character, or tab"));
        }
        if let Some(name) = &self.name {
            crate::dir::check_name(name).map_err(|e| SettingError::Conflict(e.to_string()))?;
        }
        if self.nnodes > 1 && self.master_addr.is_none() {
            return conflict(format!(
                "nnodes = {}: master_addr is missing: give every machine the address of the one with node_rank 0",
                self.nnodes
            ));
        }
        if self.node_rank >= self.nnodes {
            return conflict(format!(
                "node_rank = {}, nnodes = {}: machines are counted from 0",
                self.node_rank, self.nnodes
            ));
        }
        self.mesh().map(|_| ())
    }

    /// What was asked for that this version cannot do yet, in words.
    pub fn unavailable(&self) -> Option<String> {
        if self.fp16 && self.device == "cpu" {
            return Some("fp16 is for GPUs, device = cpu: use bf16, which works on both".to_owned());
        }
        None
    }

    /// Whether parameters are updated in the midst of backward, so that no gradients are kept: what nothing is to be known
    /// of all gradients before, on one rank.
    pub fn updates_early(&self) -> bool {
        self.max_grad_norm == 0.0 && !self.fp16 && self.mesh().is_ok_and(|mesh| mesh.ranks() == 1)
    }

    /// Whether the parameter of this name is trained.
    pub fn trains(&self, name: &str) -> bool {
        !(self.lock_image && name.starts_with("visual.") || self.lock_text && name.starts_with("text."))
    }

    /// What a rank holds between two steps, of what it would hold of a state in float32 and with all gradients.
    pub fn held(&self, all: crate::events::StateBytes) -> crate::events::StateBytes {
        crate::events::StateBytes {
            gradients: if self.updates_early() { 0 } else { all.gradients },
            optimiser: if self.adam_moments == "bfloat16" { all.optimiser / 2 } else { all.optimiser },
            ..all
        }
    }

    /// What separates the columns of a table, when it is set rightly.
    pub fn csv_separator_byte(&self) -> Option<u8> {
        match self.csv_separator.as_deref()? {
            "tab" | "\\t" | "\t" => Some(b'\t'),
            one if one.len() == 1 && one.is_ascii() && one != "\"" => one.bytes().next(),
            _ => None,
        }
    }

    /// What training reads: train_data, else what task_name names, else the default folder of PaddleMIX
    /// (`$PPMIX_HOME/datasets/coco`, `~/.paddlemix/datasets/coco`) when it is there.
    pub fn training_data(&self) -> Option<String> {
        if let Some(named) = &self.train_data {
            return Some(named.clone());
        }
        match self.task_name.as_deref() {
            None | Some("coco_clip" | "coco_karpathy") => {
                let folder = seed_datasets()?.join("coco");
                folder.is_dir().then(|| folder.to_string_lossy().into_owned())
            }
            Some(named) => Some(named.to_owned()),
        }
    }

    /// How the ranks are arranged.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] when the ranks cannot be divided so.
    pub fn mesh(&self) -> Result<Degrees, SettingError> {
        let ranks = self.nnodes * self.nproc_per_node;
        let given = |degree: i64| u64::try_from(degree).ok().filter(|d| *d > 0);
        let tensor = given(self.tensor_parallel_degree).unwrap_or(1);
        // Not given: all that is left where something is to be sharded, as PaddleNLP has it.
        let rest = if self.sharding.is_some() { (ranks / tensor).max(1) } else { 1 };
        let sharding = given(self.sharding_parallel_degree).unwrap_or(rest);
        if !ranks.is_multiple_of(tensor * sharding) {
            return Err(SettingError::Conflict(format!(
                "nnodes {} x nproc_per_node {} = {ranks} ranks cannot be divided into tensor_parallel_degree {tensor} x \
                 sharding_parallel_degree {sharding} = {}: make that product divide {ranks}",
                self.nnodes,
                self.nproc_per_node,
                tensor * sharding
            )));
        }
        let degree = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Degrees {
            data_parallel: degree(ranks / (tensor * sharding)),
            sharding: degree(sharding),
            tensor_parallel: degree(tensor),
        })
    }

    /// What is sharded; ranks that share a copy of the model's state share the optimiser's at least.
    pub fn stage(&self) -> Stage {
        match self.sharding.as_deref() {
            _ if self.mesh().is_ok_and(|mesh| mesh.sharding <= 1) => Stage::None,
            Some("stage2") => Stage::Gradients,
            Some("stage3") => Stage::Parameters,
            _ => Stage::Optimiser,
        }
    }

    /// Samples of one optimiser step over all ranks.
    pub fn global_batch_size(&self) -> u64 {
        let parts = self.mesh().unwrap_or(Degrees::ONE).data_ranks();
        self.per_device_train_batch_size * self.gradient_accumulation_steps * u64::from(parts)
    }

    /// Warm-up steps of a run of `total` steps.
    pub fn warmup(&self, total: u64) -> u64 {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let by_ratio = (total as f64 * self.warmup_ratio).ceil() as u64;
        if self.warmup_steps > 0 { self.warmup_steps } else { by_ratio }
    }
}

/// Where PaddleMIX keeps data sets: `$PPMIX_HOME/datasets`, else `~/.paddlemix/datasets`.
pub fn seed_datasets() -> Option<std::path::PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(std::path::PathBuf::from);
    let home = set("PPMIX_HOME").or_else(|| set("HOME").map(|home| home.join(".paddlemix")))?;
    Some(home.join("datasets"))
}

/// Optimiser steps of a whole run over `samples` training samples; incomplete batches are dropped.
pub fn optimiser_steps(settings: &Settings, samples: u64) -> u64 {
    let per_epoch = samples / settings.global_batch_size().max(1);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let by_epochs = (per_epoch as f64 * settings.num_train_epochs).round() as u64;
    settings.max_steps.unwrap_or(by_epochs)
}
