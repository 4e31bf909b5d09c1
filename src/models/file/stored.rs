//! Where a tensor's numbers lie in a file.

use std::borrow::Cow;
use std::ops::Range;

use crate::Dtype;

/// Axes that a tensor may have.
pub(super) const MOST_AXES: usize = 8;

/// A tensor in a file: its name, type, shape, and where its numbers are.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// open_clip's state-dict key.
    pub name: String,
    /// Type of its numbers.
    pub dtype: Dtype,
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// One behind the other along the first axis.
    pub(super) pieces: Vec<Piece>,
}

/// Bytes that a file holds as UTF-8 text, each character of which stands for one (Python's pickles before protocol 3).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latin1 {
    pub text: Range<usize>,
    /// How many characters that is.
    pub length: usize,
}

impl Latin1 {
    /// None where the text has characters that are no bytes.
    pub fn new(file: &[u8], text: Range<usize>) -> Option<Self> {
        let characters = std::str::from_utf8(file.get(text.clone())?).ok()?;
        let length = characters.chars().try_fold(0, |n, c| u8::try_from(c).ok().map(|_| n + 1))?;
        Some(Self { text, length })
    }

    fn bytes(&self, file: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(file.get(self.text.clone()).unwrap_or_default()).unwrap_or_default();
        let mut out = Vec::with_capacity(self.length);
        out.extend(text.chars().filter_map(|c| u8::try_from(c).ok()));
        out
    }
}

/// A strided view of a part of the file. Strides count numbers, not bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Where the bytes are when not plainly in the file; `start` then counts from the first of them.
    pub latin1: Option<Latin1>,
    /// First byte.
    pub start: usize,
    /// Numbers that may be touched from there.
    pub numbers: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl Piece {
    /// Numbers one behind the other.
    pub fn contiguous(start: usize, shape: &[usize]) -> Option<Self> {
        let numbers = product(shape)?;
        Some(Self { latin1: None, start, numbers, shape: shape.to_vec(), strides: row_major(shape) })
    }

    /// The same numbers with rows and columns exchanged; other than a matrix it stays as it is.
    pub fn transposed(mut self) -> Self {
        if self.shape.len() == 2 {
            self.shape.reverse();
            self.strides.reverse();
        }
        self
    }

    /// The bytes from its first on.
    fn bytes<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.latin1 {
            None => Cow::Borrowed(file.get(self.start..).unwrap_or_default()),
            Some(latin1) => {
                let mut bytes = latin1.bytes(file);
                bytes.drain(..self.start.min(bytes.len()));
                Cow::Owned(bytes)
            }
        }
    }

    fn is_contiguous(&self) -> bool {
        self.shape.iter().zip(&self.strides).zip(row_major(&self.shape)).all(|((n, s), r)| *n == 1 || *s == r)
    }
}

impl StoredTensor {
    /// A tensor that the file holds in one view.
    pub(super) fn whole(name: String, dtype: Dtype, piece: Piece) -> Self {
        Self { name, dtype, shape: piece.shape.clone(), pieces: vec![piece] }
    }

    /// Numbers that it holds.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.numel() * self.dtype.size()
    }

    /// Checks that every number lies within its storage and within the file, and that there are no more numbers than
    /// the storage holds: after this no shape can make us take more memory than the file is long.
    pub(super) fn check(&self, file: usize) -> Result<(), String> {
        let wrong = |why: &str| {
            Err(format!("tensor {:?} of shape {:?} {why} (the file has {file} bytes)", self.name, self.shape))
        };
        if self.shape.len() > MOST_AXES {
            return wrong("has more than 8 axes");
        }
        for piece in &self.pieces {
            let Some(numel) = product(&piece.shape) else { return wrong("has more numbers than can be") };
            if piece.shape.len() != piece.strides.len() {
                return wrong("has another number of strides than of axes");
            }
            if numel > piece.numbers {
                return wrong("has more numbers than its storage: it is expanded or damaged");
            }
            let end = piece.numbers.checked_mul(self.dtype.size()).and_then(|b| b.checked_add(piece.start));
            let held = piece.latin1.as_ref().map_or(file, |latin1| latin1.length);
            if end.is_none_or(|end| end > held) {
                return wrong("lies outside of the file");
            }
            let last = piece.shape.iter().zip(&piece.strides).try_fold(0usize, |sum, (n, stride)| {
                n.saturating_sub(1).checked_mul(*stride).and_then(|far| sum.checked_add(far))
            });
            if numel > 0 && last.is_none_or(|last| last >= piece.numbers) {
                return wrong("lies outside of its storage");
            }
        }
        let parts = self.pieces.iter().map(|p| product(&p.shape).unwrap_or(0)).sum::<usize>();
        if product(&self.shape) != Some(parts) {
            return wrong("is not the sum of its parts");
        }
        Ok(())
    }

    /// Its numbers, row-major. The tensor has been checked against this file.
    pub(super) fn bytes<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        if let [piece] = self.pieces.as_slice()
            && piece.is_contiguous()
        {
            return match piece.bytes(file) {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..self.size()).unwrap_or_default()),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(self.size());
                    Cow::Owned(bytes)
                }
            };
        }
        let mut out = Vec::with_capacity(self.size());
        for piece in &self.pieces {
            let from = &piece.bytes(file);
            match self.dtype.size() {
                1 => gather::<1>(from, piece, &mut out),
                2 => gather::<2>(from, piece, &mut out),
                4 => gather::<4>(from, piece, &mut out),
                _ => gather::<8>(from, piece, &mut out),
            }
        }
        Cow::Owned(out)
    }
}

/// Appends a view's numbers, each of `N` bytes, in row-major order.
fn gather<const N: usize>(from: &[u8], piece: &Piece, out: &mut Vec<u8>) {
    let numel: usize = piece.shape.iter().product();
    if piece.is_contiguous() {
        out.extend_from_slice(from.get(..numel * N).unwrap_or_default());
        return;
    }
    let numbers = from.as_chunks::<N>().0;
    let axes = piece.shape.len();
    let mut at = vec![0; axes];
    let mut offset = 0;
    for _ in 0..numel {
        if let Some(number) = numbers.get(offset) {
            out.extend_from_slice(number);
        }
        // The next position: the last axis moves first, and one that is through begins anew.
        for axis in (0..axes).rev() {
            at[axis] += 1;
            offset += piece.strides[axis];
            if at[axis] < piece.shape[axis] {
                break;
            }
            offset -= at[axis] * piece.strides[axis];
            at[axis] = 0;
        }
    }
}

/// Numbers in a tensor of this shape; none where that overflows.
pub(super) fn product(shape: &[usize]) -> Option<usize> {
    // A shape with a 0 has no numbers, whatever the rest multiplies to.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n))
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_out_row_major() {
        let file: Vec<u8> = (0..16u16).flat_map(u16::to_le_bytes).collect();
        let read = |shape: &[usize], strides: &[usize], start: usize| {
            let piece = Piece {
                latin1: None,
                start: 2 * start,
                numbers: 16 - start,
                shape: shape.to_vec(),
                strides: strides.to_vec(),
            };
            let tensor = StoredTensor::whole("t".into(), Dtype::I16, piece);
            tensor.check(file.len())?;
            let bytes = tensor.bytes(&file);
            Ok::<_, String>(
                bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(read(&[2, 3], &[1, 2], 1).unwrap(), [1, 3, 5, 2, 4, 6]);
        assert_eq!(read(&[2, 2, 2], &[8, 1, 4], 0).unwrap(), [0, 4, 1, 5, 8, 12, 9, 13]);
        assert_eq!(read(&[], &[], 7).unwrap(), [7]);
        assert!(read(&[0, 3], &[3, 1], 0).unwrap().is_empty());
        assert!(read(&[4, 4], &[4, 1], 1).unwrap_err().contains("its storage"));
        assert!(read(&[2, 2], &[15, 1], 0).unwrap_err().contains("outside of its storage"));
        assert!(read(&[100], &[0], 0).unwrap_err().contains("expanded"));
        assert!(read(&[usize::MAX, 4], &[1, 1], 0).is_err());
        assert!(read(&[2, 2], &[usize::MAX, 1], 0).is_err());
    }
}
