//! What prompts that are being edited do to a class: features of pictures and prompts are kept, so that an edit costs one
//! text.

use std::collections::HashMap;
use std::path::PathBuf;

use run::serve::{Reply, Tuned};
use tch::{Device, Kind, Tensor};

use super::batches::{self, Pictures};
use super::classify;
use super::error::ServeError;
use super::model::Served;
use super::{Onward, Work};
use crate::evaluate::zero_shot;
use crate::parallel::Mesh;

/// Most pictures, and most prompts, whose features are kept.
const MOST: usize = 1 << 16;

/// What requests keep for one another: features of length 1.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pictures: HashMap<PathBuf, Vec<f32>>,
    prompts: HashMap<String, Vec<f32>>,
    /// A class's column of the classifier, by its prompts.
    columns: HashMap<Vec<String>, Vec<f32>>,
}

/// What is asked.
pub(super) struct Asked<'a> {
    pub images: Vec<PathBuf>,
    pub classes: &'a [u32],
    pub prompts: &'a [Vec<String>],
    pub class: u32,
}

/// Reports how the class fares.
pub(super) fn tune(served: &Served, asked: Asked, batch: u32, work: &mut Work) -> Result<Onward, ServeError> {
    let Asked { images, classes, prompts, class } = asked;
    if prompts.iter().any(Vec::is_empty) || prompts.is_empty() {
        return Err(ServeError::Nothing);
    }
    if pictures(served, &images, batch, work)? == Onward::Cancelled {
        return Ok(Onward::Cancelled);
    }
    let Some(columns) = columns(served, prompts, work)? else { return Ok(Onward::Cancelled) };
    let kept = served.kept.borrow();
    let mut rows = Vec::new();
    let mut right = Vec::new();
    for (image, class) in images.iter().zip(classes) {
        if let Some(features) = kept.pictures.get(image) {
            rows.extend_from_slice(features);
            right.push(*class);
        }
    }
    if right.is_empty() {
        return Err(ServeError::Nothing);
    }
    let images_bd = Tensor::f_from_slice(&rows)?.f_view([right.len() as i64, -1])?;
    let weights_cd = Tensor::f_from_slice(&columns.concat())?.f_view([prompts.len() as i64, -1])?;
    work.say(Reply::Tuned(fare(&images_bd, &weights_cd.f_tr()?, &right, class)?));
    Ok(Onward::Go)
}

/// How a class fares: image features `[b,d]`, classifier `[d,c]`, the right class of each image.
#[allow(clippy::cast_precision_loss)]
fn fare(images_bd: &Tensor, weights_dc: &Tensor, right: &[u32], class: u32) -> Result<Tuned, tch::TchError> {
    let top = zero_shot::likeliest(images_bd, weights_dc, 5)?;
    let probabilities_bc = zero_shot::logits(images_bd, weights_dc)?.f_softmax(1, Kind::Float)?;
    let of_class = probabilities_bc.f_select(1, i64::from(class))?;
    let of_class = Vec::<f32>::try_from(&of_class.f_contiguous()?)?;
    let mut tuned = Tuned::default();
    let mut sum = 0.0;
    for ((right, top), probability) in right.iter().zip(top).zip(of_class) {
        let first = top.first().map(|(class, _)| *class);
        tuned.all_first += u64::from(first == Some(*right));
        if *right == class {
            tuned.n += 1;
            tuned.first += u64::from(first == Some(class));
            tuned.among_five += u64::from(top.iter().any(|(c, _)| *c == class));
            sum += f64::from(probability);
        } else {
            tuned.others += 1;
            tuned.claimed += u64::from(first == Some(class));
        }
    }
    tuned.probability = sum / tuned.n.max(1) as f64;
    Ok(tuned)
}

/// Makes sure that the features of the pictures that can be read are kept.
fn pictures(served: &Served, images: &[PathBuf], batch: u32, work: &mut Work) -> Result<Onward, ServeError> {
    let missing: Vec<PathBuf> = {
        let mut kept = served.kept.borrow_mut();
        if kept.pictures.len() + images.len() > MOST {
            kept.pictures.clear();
        }
        images.iter().filter(|image| !kept.pictures.contains_key(*image)).cloned().collect()
    };
    let names = missing.clone();
    let pictures = Pictures { images: missing, batch, more: 0, all: false };
    batches::each(served, pictures, work, |indices, image_bchw, _| {
        let features = rows(&served.towers().images(image_bchw)?)?;
        let mut kept = served.kept.borrow_mut();
        for (index, row) in indices.iter().zip(features) {
            if let Some(name) = usize::try_from(*index).ok().and_then(|i| names.get(i)) {
                kept.pictures.insert(name.clone(), row);
            }
        }
        Ok(Onward::Go)
    })
}

/// The classifier's column of each class; none when it was cancelled. A whole classifier that is asked for the first time
/// is looked for on the disk, where the evaluation that is opened left it.
fn columns(
    served: &Served,
    prompts: &[Vec<String>],
    work: &mut Work,
) -> Result<Option<Vec<Vec<f32>>>, ServeError> {
    let known = |of: &Vec<String>| served.kept.borrow().columns.contains_key(of);
    if !prompts.iter().any(known) {
        let Some(weights_dc) = classify::classifier(served, prompts, work)? else { return Ok(None) };
        let columns = rows(&weights_dc.f_tr()?)?;
        served.kept.borrow_mut().columns.extend(prompts.iter().cloned().zip(columns));
    }
    let mut all = Vec::with_capacity(prompts.len());
    for of_class in prompts {
        let kept = served.kept.borrow().columns.get(of_class).cloned();
        let column = match kept {
            Some(column) => column,
            None => {
                let Some(column) = column(served, of_class, work)? else { return Ok(None) };
                let mut kept = served.kept.borrow_mut();
                if kept.columns.len() > MOST {
                    kept.columns.clear();
                }
                kept.columns.insert(of_class.clone(), column.clone());
                column
            }
        };
        all.push(column);
    }
    Ok(Some(all))
}

/// One class's column, from the features of its prompts.
fn column(served: &Served, prompts: &[String], work: &mut Work) -> Result<Option<Vec<f32>>, ServeError> {
    let missing: Vec<Vec<String>> = {
        let mut kept = served.kept.borrow_mut();
        if kept.prompts.len() > MOST {
            kept.prompts.clear();
        }
        let new = prompts.iter().filter(|prompt| !kept.prompts.contains_key(*prompt));
        new.map(|prompt| vec![prompt.clone()]).collect()
    };
    if !missing.is_empty() {
        // A class of one prompt each: its column is the prompt's feature.
        let hear = |_, _| work.look() == Onward::Go;
        let built =
            zero_shot::classifier(served.towers(), &served.tokenizer, &missing, &Mesh::alone(), hear)?;
        let Some(features_dp) = built else { return Ok(None) };
        let features = rows(&features_dp.f_tr()?)?;
        served.kept.borrow_mut().prompts.extend(missing.into_iter().flatten().zip(features));
    }
    let kept = served.kept.borrow();
    let mut sum: Vec<f32> = Vec::new();
    for features in prompts.iter().filter_map(|prompt| kept.prompts.get(prompt)) {
        sum.resize(features.len(), 0.0);
        sum.iter_mut().zip(features).for_each(|(sum, x)| *sum += x);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.iter_mut().for_each(|x| *x /= length);
    Ok(Some(sum))
}

fn rows(features_nd: &Tensor) -> Result<Vec<Vec<f32>>, tch::TchError> {
    Vec::try_from(&features_nd.f_to_kind(Kind::Float)?.f_contiguous()?.f_to_device(Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_counted_among_all() {
        // Three pictures on the axes of three classes, and one of class 0 that lies nearer to class 1.
        let images = Tensor::from_slice(&[1f32, 0., 0., 0.6, 0.8, 0., 0., 1., 0., 0., 0., 1.]).view([4, 3]);
        let weights = Tensor::eye(3, (Kind::Float, Device::Cpu));
        let tuned = fare(&images, &weights, &[0, 0, 1, 2], 0).unwrap();
        assert_eq!((tuned.n, tuned.first, tuned.among_five), (2, 1, 2));
        assert_eq!((tuned.others, tuned.claimed, tuned.all_first), (2, 0, 3));
        assert!((tuned.probability - 0.5).abs() < 1e-3, "{}", tuned.probability);
        let other = fare(&images, &weights, &[0, 0, 1, 2], 1).unwrap();
        assert_eq!((other.n, other.first, other.claimed), (1, 1, 1));
    }
}
