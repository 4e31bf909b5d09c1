//! Incremental decoding: what the model has seen is kept as keys and values, so that a new token costs one
//! position instead of the whole prefix.
//!
//! This is exact. No token sees CLS or anything behind it, so CLS is left out, and what was computed for a
//! prefix stays right as it grows. The image's keys and values are computed once, and shared by all rows
//! (beams, draws) of an image.

use tch::{Device, Kind, Tensor};

use crate::model::{Block, CoCa, CrossBlock, ImageTokens, Mask, ModelError};
use crate::shim::steps::{Kept, Steps};

/// Texts being written, the same number of rows for each image: row r belongs to image r / rows_per_image.
#[derive(Debug)]
pub struct Incremental<'m> {
    model: &'m CoCa,
    /// One per decoder layer: keys and values of the image tokens, `[images,h,n,c]`.
    cross: Vec<(Tensor, Tensor)>,
    text: SelfCaches,
    decoder: SelfCaches,
    /// Which text keys may be seen, 0 or -inf: `[rows,1,1,capacity + 1]`.
    open_r11k: Tensor,
    /// Whether any key is closed: without one, no mask is needed.
    any_closed: bool,
    images: usize,
    filled: i64,
    capacity: i64,
}

/// Keys and values of a tower's self-attentions, room for `capacity` positions:
/// `[2 * layers, rows, h, capacity, c]`, keys at 2i and values at 2i + 1.
#[derive(Debug)]
struct SelfCaches(Tensor);

impl SelfCaches {
    /// Writes new positions of layer `i` behind the `filled` ones, and gives all of them.
    fn extend(&self, i: usize, k: &Tensor, v: &Tensor, filled: i64) -> (Tensor, Tensor) {
        let new = k.size()[2];
        let part = |at: usize, new_rhtc: &Tensor| {
            let all = self.0.select(0, at as i64);
            all.narrow(2, filled, new).copy_(new_rhtc);
            all.narrow(2, 0, filled + new)
        };
        (part(2 * i, k), part(2 * i + 1, v))
    }

    /// Keys and values of layer `i`, with the room for more: each `[rows,h,capacity,c]`.
    fn room(&self, i: usize) -> (Tensor, Tensor) {
        (self.0.select(0, 2 * i as i64), self.0.select(0, 2 * i as i64 + 1))
    }

    /// Row r goes on from what row `parents[r]` holds. Only what is filled moves, of rows that change.
    fn follow(&mut self, parents: &[i64], filled: i64, device: Device) {
        let index = |rows: &[i64]| Tensor::from_slice(rows).to_device(device);
        let size = self.0.size();
        if parents.len() as i64 == size[1] {
            let changed: Vec<i64> = (0i64..).zip(parents).filter(|(r, p)| r != *p).map(|(r, _)| r).collect();
            let from: Vec<i64> = (0i64..).zip(parents).filter(|(r, p)| r != *p).map(|(_, p)| *p).collect();
            if changed.is_empty() {
                return;
            }
            let mut held = self.0.narrow(3, 0, filled);
            let moved = held.index_select(1, &index(&from));
            let _ = held.index_copy_(1, &index(&changed), &moved);
        } else {
            let room = [size[0], parents.len() as i64, size[2], size[3], size[4]];
            let next = Tensor::empty(room, (self.0.kind(), device));
            let held = self.0.narrow(3, 0, filled).index_select(1, &index(parents));
            next.narrow(3, 0, filled).copy_(&held);
            self.0 = next;
        }
    }
}

impl<'m> Incremental<'m> {
    /// Starts with no token and one row for each image. `capacity` is the most tokens that a row will be fed.
    pub fn new(model: &'m CoCa, image: &ImageTokens, capacity: usize) -> Result<Self, ModelError> {
        let context = model.config.text.context_length;
        let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
        if !(1..=context).contains(&capacity) {
            let said = format!("generation of {capacity} tokens; the model takes 1 to {context}");
            return Err(ModelError::Tokens(said));
        }
        let images = image.tokens_bnw.size().first().copied().unwrap_or(0);
        let (kind, device) = (image.tokens_bnw.kind(), model.device());
        let cross = tch::no_grad(|| {
            let contiguous = |(k, v): (Tensor, Tensor)| (k.contiguous(), v.contiguous());
            let of_layer = |(_, cross): (_, &CrossBlock)| contiguous(cross.keys_values(&image.tokens_bnw));
            model.decoder.pairs().map(of_layer).collect::<Vec<_>>()
        });
        let caches = |layers: usize, heads: i64, width: i64| {
            let room = [2 * layers as i64, images, heads, capacity, width / heads.max(1)];
            Ok::<_, ModelError>(SelfCaches(Tensor::f_empty(room, (kind, device))?))
        };
        let (text, decoder) = (&model.config.text, &model.config.decoder);
        Ok(Self {
            text: caches(model.text.blocks().len(), text.heads, text.width)?,
            decoder: caches(cross.len(), decoder.heads, decoder.width)?,
            open_r11k: Tensor::f_zeros([images, 1, 1, capacity + 1], (kind, device))?,
            any_closed: false,
            model,
            cross,
            images: usize::try_from(images).unwrap_or(0),
            filled: 0,
            capacity,
        })
    }

    /// Rows: images times rows an image.
    pub fn rows(&self) -> usize {
        self.open_r11k.size().first().and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(0)
    }

    /// Tokens that each row has been fed.
    pub fn filled(&self) -> usize {
        usize::try_from(self.filled).unwrap_or(0)
    }

    /// Feeds the next ids of every row, row after row (the same number for each), and returns the logits of
    /// what follows the last of them, float32 `[rows,v]`.
    pub fn advance(&mut self, ids: &[i64]) -> Result<Tensor, ModelError> {
        let rows = self.rows();
        let new = ids.len().checked_div(rows).unwrap_or(0);
        if new == 0 || new * rows != ids.len() || self.filled + new as i64 > self.capacity {
            return Err(ModelError::Tokens(format!(
                "{} ids for {rows} rows that hold {} of {} tokens",
                ids.len(),
                self.filled,
                self.capacity
            )));
        }
        let pad = self.model.config.text.pad_id;
        let new_rows = [rows as i64, new as i64];
        let ids_rt = Tensor::f_from_slice(ids)?.f_view(new_rows)?.f_to_device(self.model.device())?;
        let logits_rv = tch::no_grad(|| {
            if ids.contains(&pad) {
                self.close_keys(&ids_rt, new as i64);
            }
            self.step(&ids_rt, new as i64)
        })?;
        self.filled += new as i64;
        Ok(logits_rv)
    }

    /// Row r goes on from what row `parents[r]` has seen: to branch, to reorder beams, to leave finished
    /// images out. Rows of an image must stand together, and each image left must have equally many.
    pub fn follow(&mut self, parents: &[usize], rows_per_image: usize) -> Result<(), ModelError> {
        let (rows, was) = (self.rows(), self.rows() / self.images.max(1));
        let images: Vec<usize> =
            parents.chunks(rows_per_image.max(1)).filter_map(|c| Some(*c.first()? / was.max(1))).collect();
        if images.len() * rows_per_image != parents.len() || parents.iter().any(|p| *p >= rows) {
            let said = format!("{parents:?} cannot follow {rows} rows, {rows_per_image} for each image");
            return Err(ModelError::Tokens(said));
        }
        let device = self.model.device();
        tch::no_grad(|| {
            let parents_r: Vec<i64> = parents.iter().map(|p| *p as i64).collect();
            self.text.follow(&parents_r, self.filled, device);
            self.decoder.follow(&parents_r, self.filled, device);
            self.open_r11k =
                self.open_r11k.index_select(0, &Tensor::from_slice(&parents_r).to_device(device));
            if images.len() != self.images {
                let kept: Vec<i64> = images.iter().map(|i| *i as i64).collect();
                let kept = Tensor::from_slice(&kept).to_device(device);
                for (keys, values) in &mut self.cross {
                    *keys = keys.index_select(0, &kept);
                    *values = values.index_select(0, &kept);
                }
                self.images = images.len();
            }
        });
        Ok(())
    }

    fn step(&mut self, ids_rt: &Tensor, new: i64) -> Result<Tensor, ModelError> {
        let (filled, model) = (self.filled, self.model);
        let mut x_rtw = model.text.embed(ids_rt, filled);
        // One new position sees everything before it that is open; several at once only come at the start.
        let causal = (new > 1).then(|| causal_mask(filled, new, x_rtw.kind(), x_rtw.device()));
        let open = self.any_closed.then(|| self.open_r11k.narrow(3, 0, filled + new));
        let mask = match (&open, &causal) {
            (Some(open), Some(causal)) => Some(open + causal),
            (Some(open), None) => Some(open.shallow_clone()),
            (None, _) => causal.as_ref().map(Tensor::shallow_clone),
        };
        let mask = mask.as_ref().map_or(Mask::None, Mask::Additive);
        // All blocks in one call where that can be: on the CPU, one new position.
        let mut steps = Steps::default();
        let one = |steps: &mut Steps,
                   x_rtw: &mut Tensor,
                   block: &Block,
                   caches: &SelfCaches,
                   i: usize,
                   open: Option<&Tensor>| {
            let (keys, values) = caches.room(i);
            let kept = Kept::Text { keys: &keys, values: &values, filled, open_r11k: open };
            new == 1 && block.step(steps, x_rtw, kept)
        };
        let all_open_r11k = self.any_closed.then_some(&self.open_r11k);
        for (i, block) in model.text.blocks().iter().enumerate() {
            if one(&mut steps, &mut x_rtw, block, &self.text, i, all_open_r11k) {
                continue;
            }
            steps.run()?;
            x_rtw = block.forward_with(&x_rtw, |q, k, v| {
                let (keys, values) = self.text.extend(i, k, v, filled);
                block.attention().attend(q, &keys, &values, mask)
            });
        }
        let mask = causal.as_ref().map_or(Mask::None, Mask::Additive);
        let (rows, width) = (self.rows() as i64, model.config.decoder.width);
        for (i, ((block, cross), (image_keys, image_values))) in
            model.decoder.pairs().zip(&self.cross).enumerate()
        {
            if !one(&mut steps, &mut x_rtw, block, &self.decoder, i, None) {
                steps.run()?;
                x_rtw = block.forward_with(&x_rtw, |q, k, v| {
                    let (keys, values) = self.decoder.extend(i, k, v, filled);
                    block.attention().attend(q, &keys, &values, mask)
                });
            }
            if new == 1 && cross.step(&mut steps, &mut x_rtw, image_keys, image_values) {
                continue;
            }
            steps.run()?;
            // All rows of an image ask it side by side.
            let x_isw = x_rtw.reshape([self.images as i64, -1, width]);
            x_rtw = cross.forward(&x_isw, image_keys, image_values).reshape([rows, new, width]);
        }
        steps.run()?;
        Ok(model.decoder.logits(&x_rtw.select(1, new - 1)).to_kind(Kind::Float))
    }

    /// Notes which keys pads among the new ids close. The legacy rule closes the key behind a pad, the
    /// correct one the pad's own.
    fn close_keys(&mut self, ids_rt: &Tensor, new: i64) {
        let text = &self.model.config.text;
        let closed_r11t = ids_rt.eq(text.pad_id).unsqueeze(1).unsqueeze(1);
        let first = self.filled + i64::from(!text.correct_cls_mask);
        let _ = self.open_r11k.narrow(3, first, new).masked_fill_(&closed_r11t, f64::NEG_INFINITY);
        self.any_closed = true;
    }
}

/// 0 where position filled + i may see key j, else -inf: `[new, filled + new]`.
fn causal_mask(filled: i64, new: i64, kind: Kind, device: Device) -> Tensor {
    Tensor::full([new, filled + new], f64::NEG_INFINITY, (kind, device)).triu(filled + 1)
}
