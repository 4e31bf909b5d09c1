//! Incremental decoding: what the model has seen is kept as keys and values, so that a new token costs one
//! position instead of the whole prefix.
//!
//! This is exact. No token sees CLS or anything behind it, so CLS is left out, and what was computed for a
//! prefix stays right as it grows. The image's keys and values are computed once, and shared by all rows
//! (beams, samples) of an image.

use tch::{Device, Kind, Tensor};

use crate::model::{CoCa, ImageTokens, Mask, ModelError};

/// Keys and values of one self-attention, room for `capacity` positions: each `[rows,h,capacity,c]`.
#[derive(Debug)]
struct SelfCache {
    keys: Tensor,
    values: Tensor,
}

impl SelfCache {
    /// Writes new positions behind the `filled` ones, and gives all of them.
    fn extend(
        slot: &mut Option<Self>,
        k: &Tensor,
        v: &Tensor,
        filled: i64,
        capacity: i64,
    ) -> (Tensor, Tensor) {
        let size = k.size();
        let (rows, heads, new, c) = (size[0], size[1], size[2], size[3]);
        let cache = slot.get_or_insert_with(|| {
            let room = || Tensor::empty([rows, heads, capacity, c], (k.kind(), k.device()));
            Self { keys: room(), values: room() }
        });
        cache.keys.narrow(2, filled, new).copy_(k);
        cache.values.narrow(2, filled, new).copy_(v);
        (cache.keys.narrow(2, 0, filled + new), cache.values.narrow(2, 0, filled + new))
    }
}

/// Texts being written, `rows_per_image` for each image: row r belongs to image r / rows_per_image.
#[derive(Debug)]
pub struct Decoding<'m> {
    model: &'m CoCa,
    /// One per decoder layer: keys and values of the image tokens, `[images,h,n,c]`.
    cross: Vec<(Tensor, Tensor)>,
    text_caches: Vec<Option<SelfCache>>,
    decoder_caches: Vec<Option<SelfCache>>,
    /// Which text keys may be seen, 0 or -inf: `[rows,1,1,capacity + 1]`.
    open_r11k: Tensor,
    images: i64,
    filled: i64,
    capacity: i64,
}

impl<'m> Decoding<'m> {
    /// Starts with no token. `capacity` is the most tokens that a row will be fed.
    pub fn new(
        model: &'m CoCa,
        image: &ImageTokens,
        rows_per_image: i64,
        capacity: i64,
    ) -> Result<Self, ModelError> {
        let context = model.config.text.context_length;
        if rows_per_image < 1 || !(1..=context).contains(&capacity) {
            return Err(ModelError::Tokens(format!(
                "generation of {capacity} tokens in {rows_per_image} rows an image; the model takes 1 to \
                 {context} tokens"
            )));
        }
        let images = image.tokens_bnw.size().first().copied().unwrap_or(0);
        let (cross, kind): (Vec<_>, _) = tch::no_grad(|| {
            let contiguous = |(k, v): (Tensor, Tensor)| (k.contiguous(), v.contiguous());
            let of_layer =
                |(_, cross): (_, &crate::model::CrossBlock)| contiguous(cross.keys_values(&image.tokens_bnw));
            (model.decoder.pairs().map(of_layer).collect(), image.tokens_bnw.kind())
        });
        let empty = |layers: usize| std::iter::repeat_with(|| None).take(layers).collect();
        Ok(Self {
            model,
            text_caches: empty(model.text.blocks().len()),
            decoder_caches: empty(cross.len()),
            cross,
            open_r11k: Tensor::f_zeros(
                [images * rows_per_image, 1, 1, capacity + 1],
                (kind, model.device()),
            )?,
            images,
            filled: 0,
            capacity,
        })
    }

    /// Rows: images times rows an image.
    pub fn rows(&self) -> i64 {
        self.open_r11k.size().first().copied().unwrap_or(0)
    }

    /// Tokens that each row has been fed.
    pub fn filled(&self) -> i64 {
        self.filled
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Feeds the next ids of every row, int64 `[rows,t]` on the device, and returns the logits of what
    /// follows the last of them, float32 `[rows,v]`.
    pub fn advance(&mut self, ids_rt: &Tensor) -> Result<Tensor, ModelError> {
        let (rows, size) = (self.rows(), ids_rt.size());
        let new = match size[..] {
            [r, new] if r == rows && new > 0 && self.filled + new <= self.capacity => new,
            _ => {
                return Err(ModelError::Tokens(format!(
                    "{size:?} ids for {rows} rows that hold {} of {} tokens",
                    self.filled, self.capacity
                )));
            }
        };
        let logits_rv = tch::no_grad(|| self.step(ids_rt, new));
        self.filled += new;
        Ok(logits_rv)
    }

    /// Makes row r go on from what row `rows_r[r]` (int64, on the device) has seen: for beam search. Rows
    /// must stay with their image.
    pub fn reorder(&mut self, rows_r: &Tensor) {
        tch::no_grad(|| {
            self.open_r11k = self.open_r11k.index_select(0, rows_r);
            for cache in self.text_caches.iter_mut().chain(&mut self.decoder_caches).flatten() {
                cache.keys = cache.keys.index_select(0, rows_r);
                cache.values = cache.values.index_select(0, rows_r);
            }
        });
    }

    fn step(&mut self, ids_rt: &Tensor, new: i64) -> Tensor {
        let (filled, capacity, model) = (self.filled, self.capacity, self.model);
        let mask = self.open_keys(ids_rt, new);
        let mut x_rtw = model.text.embed(ids_rt, filled);
        for (block, cache) in model.text.blocks().iter().zip(&mut self.text_caches) {
            x_rtw = block.forward_with(&x_rtw, |q, k, v| {
                let (keys, values) = SelfCache::extend(cache, k, v, filled, capacity);
                block.attention().attend(q, &keys, &values, Mask::Additive(&mask))
            });
        }
        // One new position sees everything before it; several at once only do at the very start.
        let causal = (new > 1).then(|| causal_mask(filled, new, x_rtw.kind(), x_rtw.device()));
        let (rows, width) = (self.rows(), model.config.decoder.width);
        let layers = model.decoder.pairs().zip(&mut self.decoder_caches).zip(&self.cross);
        for (((block, cross), cache), (image_keys, image_values)) in layers {
            x_rtw = block.forward_with(&x_rtw, |q, k, v| {
                let (keys, values) = SelfCache::extend(cache, k, v, filled, capacity);
                let mask = causal.as_ref().map_or(Mask::None, Mask::Additive);
                block.attention().attend(q, &keys, &values, mask)
            });
            // All rows of an image ask it side by side.
            let x_isw = x_rtw.reshape([self.images, -1, width]);
            x_rtw = cross.forward(&x_isw, image_keys, image_values).reshape([rows, new, width]);
        }
        model.decoder.logits(&x_rtw.select(1, new - 1)).to_kind(Kind::Float)
    }

    /// Notes which keys the new ids close, and gives the text tower's mask `[rows,1,new,filled + new]`.
    fn open_keys(&mut self, ids_rt: &Tensor, new: i64) -> Tensor {
        let text = &self.model.config.text;
        let closed_r11t = ids_rt.eq(text.pad_id).unsqueeze(1).unsqueeze(1);
        // The legacy rule closes the key behind a pad, the correct one the pad's own.
        let first = self.filled + i64::from(!text.correct_cls_mask);
        let _ = self.open_r11k.narrow(3, first, new).masked_fill_(&closed_r11t, f64::NEG_INFINITY);
        let open = self.open_r11k.narrow(3, 0, self.filled + new);
        match new {
            1 => open,
            _ => open + causal_mask(self.filled, new, self.open_r11k.kind(), self.open_r11k.device()),
        }
    }
}

/// 0 where position filled + i may see key j, else -inf: `[new, filled + new]`.
fn causal_mask(filled: i64, new: i64, kind: Kind, device: Device) -> Tensor {
    Tensor::full([new, filled + new], f64::NEG_INFINITY, (kind, device)).triu(filled + 1)
}
