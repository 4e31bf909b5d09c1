//! What is written is read again, and what is converted stays what it was.

#![allow(clippy::unwrap_used)]

use models::{Dtype, WeightsFile};
use proptest::prelude::*;

/// A tensor to write: numbers that are bytes of any type.
#[derive(Debug, Clone)]
struct Made {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl safetensors::View for Made {
    fn dtype(&self) -> safetensors::Dtype {
        match self.dtype {
            Dtype::F64 => safetensors::Dtype::F64,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::BF16 => safetensors::Dtype::BF16,
            _ => safetensors::Dtype::F32,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn made() -> impl Strategy<Value = Made> {
    let types = prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64]);
    (types, prop::collection::vec(0usize..5, 0..4)).prop_flat_map(|(dtype, shape)| {
        let length = shape.iter().product::<usize>() * dtype.size();
        prop::collection::vec(any::<u8>(), length).prop_map(move |bytes| Made {
            dtype,
            shape: shape.clone(),
            bytes,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the names, types and shapes: what is written is read, byte by byte.
    #[test]
    fn what_is_written_is_read(tensors in prop::collection::btree_map("[a-z_.\u{e4}\u{732b}\"]{1,12}", made(), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        // A prefix that every name has would be cut off: it is a wrapper's.
        let tensors: Vec<(String, Made)> = tensors.into_iter().map(|(name, made)| (format!("x{name}"), made)).collect();
        models::write_safetensors(&path, tensors.clone()).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        prop_assert_eq!(file.tensors().len(), tensors.len());
        for (name, made) in &tensors {
            let data = file.data(name).unwrap();
            prop_assert_eq!((data.dtype, &data.shape), (made.dtype, &made.shape));
            prop_assert_eq!(data.bytes.as_ref(), made.bytes.as_slice());
        }
    }

    /// float32 to another type and back: the nearest that the type has, as often as one goes there and back.
    #[test]
    fn conversions_settle(numbers in prop::collection::vec(any::<f32>(), 1..64)) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        for to in [Dtype::F16, Dtype::BF16] {
            let once = Dtype::F32.convert(bytes.as_slice().into(), to).unwrap();
            let back = to.convert(once.as_ref().into(), Dtype::F32).unwrap();
            let twice = Dtype::F32.convert(back.as_ref().into(), to).unwrap();
            prop_assert_eq!(&once, &twice);
            for (x, y) in numbers.iter().zip(to.to_f32(&once).unwrap()) {
                let fits = x.is_finite() && x.abs() < 60_000.0;
                let most = if to == Dtype::F16 { (x.abs() / 2048.0).max(3e-8) } else { x.abs() / 256.0 + f32::MIN_POSITIVE };
                prop_assert!(!fits || (x - y).abs() <= most, "{x} {y}");
                prop_assert_eq!(x.is_nan(), y.is_nan());
            }
        }
    }
}
