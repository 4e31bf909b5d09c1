//! TensorFlow's record files: each record is its length (u64, little endian), the length's checksum, the bytes, their
//! checksum; checksums are CRC-32C, turned and shifted so that a record of records has other ones (TensorFlow's
//! `tsl/lib/hash/crc32c.h`).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// TensorFlow's `kMaskDelta`.
const MASK_DELTA: u32 = 0xa282_ead8;

/// The checksum of `bytes` as it stands in the file.
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// One record with its checksums.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(bytes);
    record.extend_from_slice(&masked_crc(bytes).to_le_bytes());
    record
}

/// Appends records to a file of its own.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Where the last whole record ends.
    end: u64,
}

impl Writer {
    /// Makes the file, which must be new.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().write(true).create_new(true).open(path)?, end: 0 })
    }

    /// Appends one record. What a full disk left half-written is cut off first, for a torn record hides all later ones.
    ///
    /// # Errors
    /// What the system said; the record is not in the file then.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let record = framed(bytes);
        if self.file.stream_position()? != self.end {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
        }
        self.file.write_all(&record)?;
        self.end += record.len() as u64;
        Ok(())
    }
}
