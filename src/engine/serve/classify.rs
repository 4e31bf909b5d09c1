//! Zero-shot classification of pictures.

use std::path::{Path, PathBuf};

use run::serve::Reply;
use tch::{Device, Tensor};
use xxhash_rust::xxh3::Xxh3;

use super::batches::{self, Pictures};
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work};
use crate::evaluate::zero_shot;
use crate::weights::{self, WeightsFile};

/// The classifier's name in its file.
const NAME: &str = "classifier";

/// Reports the `keep` likeliest classes of each picture.
pub(super) fn classify(
    served: &Served,
    images: Vec<PathBuf>,
    prompts: &[Vec<String>],
    keep: u32,
    batch: u32,
    work: &mut Work,
) -> Result<Onward, ServeError> {
    let Some(weights_dc) = classifier(served, prompts, work)? else { return Ok(Onward::Cancelled) };
    let pictures = Pictures { images, batch, more: 0, all: false };
    batches::each(served, pictures, work, |indices, image_bchw, work| {
        let found = zero_shot::likeliest(&served.towers().images(image_bchw)?, &weights_dc, i64::from(keep))?;
        for (index, top) in indices.iter().zip(found) {
            work.say(Reply::Classified { index: *index, top });
        }
        Ok(Onward::Go)
    })
}

/// The classifier `[d,classes]`, from the cache where the same one was built before; none when it was cancelled.
pub(super) fn classifier(
    served: &Served,
    prompts: &[Vec<String>],
    work: &mut Work,
) -> Result<Option<Tensor>, ServeError> {
    let key = key(served, prompts)?;
    let cached =
        run::dir::cache_folder().map(|f| f.join("classifiers").join(format!("{key:032x}.safetensors")));
    let found = cached.as_deref().and_then(|file| read(file, prompts.len(), served.model.device()));
    // Those that share the work build it together, unless each of them has found it.
    let mut have = Tensor::from(if found.is_some() { 1.0f32 } else { 0.0 });
    served.mesh.sum(&mut have)?;
    if f64::try_from(&have)? as usize == served.mesh.size() {
        return Ok(found);
    }
    let built =
        zero_shot::classifier(served.towers(), &served.tokenizer, prompts, &served.mesh, |done, total| {
            work.say(Reply::Classifier { done: done as u64, total: total as u64 });
            work.look() == Onward::Go
        })?;
    if let (Some(file), Some(weights_dc), true) = (&cached, &built, served.mesh.is_first()) {
        // Without a cache everything is as right as with it.
        if let Some(folder) = file.parent().filter(|folder| std::fs::create_dir_all(folder).is_ok()) {
            let stored = vec![(NAME.to_owned(), weights_dc.f_contiguous()?)];
            if let Err(e) = weights::write(file, stored) {
                eprintln!("{}: the classifier cannot be kept: {e}", folder.display());
            }
        }
    }
    Ok(built)
}

/// A file that is damaged or of another shape is as good as none.
fn read(file: &Path, classes: usize, device: Device) -> Option<Tensor> {
    let all = file.is_file().then(|| WeightsFile::open(file).ok()?.all(device).ok())??;
    let (_, weights_dc) = all.into_iter().find(|(name, _)| name == NAME)?;
    (weights_dc.size().get(1).copied() == Some(classes as i64)).then_some(weights_dc)
}

/// Tells everything apart that the classifier depends on: the text tower's numbers, its shape, its precision, the ids of the prompts.
fn key(served: &Served, prompts: &[Vec<String>]) -> Result<u128, ServeError> {
    let mut hash = Xxh3::new();
    let config = &served.model.config;
    let precision = served.towers().precision;
    let about = format!("{:?} {} {precision:?} {}", config.text, config.embed_dim, crate::LIBTORCH_VERSION);
    hash.update(about.as_bytes());
    for (name, tensor) in served.text_parameters() {
        hash.update(name.as_bytes());
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        // SAFETY: the tensor is contiguous, on the CPU, holds so many bytes and lives through this block.
        let data = unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), bytes) };
        hash.update(data);
    }
    for prompts in prompts {
        hash.update(b"class");
        for prompt in prompts {
            let ids = served.tokenizer.encode_ids(prompt)?;
            hash.update(&(ids.len() as u64).to_le_bytes());
            ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
        }
    }
    Ok(hash.digest128())
}
