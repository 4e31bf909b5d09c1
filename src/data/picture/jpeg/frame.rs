//! The picture that a file codes: its components, and their samples.

use std::ops::Range;

use super::idct::{GROUP, LANES, blocks};
use super::upsample::{Plane, Way};

/// A component.
#[derive(Debug)]
pub(super) struct Part {
    pub id: u8,
    /// Sampling factors.
    pub h: usize,
    pub v: usize,
    /// Number of its quantisation table, and the table itself in a block's order once its first scan began.
    pub table: usize,
    pub steps: Option<[u16; 64]>,
    /// Its samples, and the blocks that hold them.
    pub width: usize,
    pub height: usize,
    pub blocks_across: usize,
    pub blocks_down: usize,
    /// Groups of eight blocks in a row of whole MCUs.
    pub groups: usize,
    /// Rows of blocks whose numbers are kept at a time.
    pub rows_kept: usize,
    /// Those of them whose samples are wanted.
    pub wanted: Range<usize>,
    pub coded: Vec<i16>,
    pub samples: Vec<u8>,
    pub way: Way,
}

impl Part {
    fn stride(&self) -> usize {
        self.groups * LANES * 8
    }

    /// Transforms the kept rows of blocks to samples, from row `first` of the component on, and forgets them.
    fn transform(&mut self, first: usize) {
        let Some(steps) = &self.steps else { return };
        let stride = self.stride();
        let row = (self.groups * GROUP).max(1);
        for (at, coded) in self.coded.chunks_exact(row).enumerate() {
            let from = (first + at) * 8 * stride + self.wanted.start * LANES * 8;
            let coded = coded.get(self.wanted.start * GROUP..self.wanted.end * GROUP);
            if let (Some(samples), Some(coded)) = (self.samples.get_mut(from..), coded) {
                blocks(coded, steps, samples, stride);
            }
        }
        self.coded.fill(0);
    }

    /// Its samples.
    pub(super) fn plane(&self) -> Plane<'_> {
        Plane { samples: &self.samples, stride: self.stride(), width: self.width, height: self.height }
    }
}

/// The picture.
#[derive(Debug)]
pub(super) struct Frame {
    pub progressive: bool,
    pub width: usize,
    pub height: usize,
    /// Columns that are wanted.
    pub wanted: Range<usize>,
    pub mcus_across: usize,
    pub mcus_down: usize,
    pub parts: Vec<Part>,
}

impl Frame {
    /// A picture of components of (id, h, v, table).
    ///
    /// # Errors
    /// When the sampling factors are none that can be had.
    pub(super) fn new(
        progressive: bool,
        (width, height): (usize, usize),
        wanted: Range<usize>,
        components: &[(u8, usize, usize, usize)],
    ) -> Result<Self, String> {
        let mut components = components.to_vec();
        if components.iter().any(|(_, h, v, _)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
            return Err("sampling factors beyond 1 to 4".into());
        }
        if let [(_, h, v, _)] = components.as_mut_slice() {
            // One component alone has one block an MCU, whatever it says.
            (*h, *v) = (1, 1);
        }
        let max_h = components.iter().map(|c| c.1).max().unwrap_or(1);
        let max_v = components.iter().map(|c| c.2).max().unwrap_or(1);
        let (mcus_across, mcus_down) = (width.div_ceil(8 * max_h), height.div_ceil(8 * max_v));
        let wanted = wanted.start.min(width)..wanted.end.min(width);
        let part = |(id, h, v, table): (u8, usize, usize, usize)| {
            let (wide, high) = ((width * h).div_ceil(max_h), (height * v).div_ceil(max_v));
            let groups = (mcus_across * h).div_ceil(LANES);
            let way = Way::new((h, v), (max_h, max_v), wide)
                .ok_or("sampling factors that are no whole multiples of each other")?;
            let columns = way.columns(&wanted, wide);
            Ok(Part {
                id,
                h,
                v,
                table,
                steps: None,
                width: wide,
                height: high,
                blocks_across: wide.div_ceil(8),
                blocks_down: high.div_ceil(8),
                groups,
                wanted: columns.start / (8 * LANES)..columns.end.div_ceil(8 * LANES).min(groups),
                rows_kept: 0,
                coded: Vec::new(),
                samples: Vec::new(),
                way,
            })
        };
        let parts = components.into_iter().map(part).collect::<Result<_, String>>()?;
        Ok(Self { progressive, width, height, wanted, mcus_across, mcus_down, parts })
    }

    /// Blocks of all components.
    pub(super) fn blocks(&self) -> usize {
        self.parts.iter().map(|part| part.blocks_across * part.blocks_down).sum()
    }

    /// Takes the memory: for one row of MCUs at a time, or for the whole picture's numbers.
    pub(super) fn allocate(&mut self, by_rows: bool) {
        for part in &mut self.parts {
            let rows = self.mcus_down * part.v;
            part.rows_kept = if by_rows { part.v } else { rows };
            part.coded = vec![0; part.rows_kept * part.groups * GROUP];
            part.samples = vec![0; rows * 8 * part.stride()];
        }
    }

    /// Transforms what is kept, from row `mcu_row` of MCUs on.
    pub(super) fn transform(&mut self, mcu_row: usize) {
        for part in &mut self.parts {
            part.transform(mcu_row * part.v);
        }
    }
}
