//! Records of a zip archive that are stored as they are, as torch.save stores them.
//!
//! Our own reader, because only positions are wanted (the records stay in the mapped file) and nothing is ever
//! inflated: a zip bomb cannot be. Every offset is checked against the file.

/// A record: its name, and where its bytes are.
#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    pub name: &'a str,
    pub start: usize,
    pub size: usize,
}

const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;

/// Every record of the archive.
///
/// # Errors
/// Text that says what is damaged, compressed or encrypted.
pub fn records(bytes: &[u8]) -> Result<Vec<Record<'_>>, String> {
    let (count, mut at) = directory(bytes).ok_or("the zip archive's directory is damaged or cut off")?;
    let mut records: Vec<Record> = Vec::new();
    for i in 0..count {
        let (record, next) = entry(bytes, at).map_err(|why| format!("zip record {i}: {why}"))?;
        records.push(record);
        at = next;
    }
    // Two records that share bytes are how a small archive pretends to be a large one.
    let mut order: Vec<&Record> = records.iter().collect();
    order.sort_by_key(|r| (r.start, r.size));
    for (a, b) in order.iter().zip(order.iter().skip(1)) {
        if a.start + a.size > b.start {
            return Err(format!("zip records {:?} and {:?} overlap", a.name, b.name));
        }
    }
    let mut names: Vec<&str> = records.iter().map(|r| r.name).collect();
    names.sort_unstable();
    if let Some(name) = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b).map(|(a, _)| a) {
        return Err(format!("two zip records are named {name:?}"));
    }
    Ok(records)
}

/// How many records there are, and where the central directory begins.
fn directory(bytes: &[u8]) -> Option<(usize, usize)> {
    // The end record is the last one: 22 bytes and a comment of up to 64 KiB.
    let lowest = bytes.len().saturating_sub(22 + 0xffff);
    let end = (lowest..=bytes.len().checked_sub(22)?).rev().find(|at| u32_at(bytes, *at) == Some(END))?;
    let (count, start) = (usize::from(u16_at(bytes, end + 10)?), u32_at(bytes, end + 16)? as usize);
    if count != 0xffff && start != 0xffff_ffff {
        return Some((count, start));
    }
    let locator = end.checked_sub(20).filter(|at| u32_at(bytes, *at) == Some(END_64_LOCATOR))?;
    let end = u64_at(bytes, locator + 8).filter(|at| u32_at(bytes, *at) == Some(END_64))?;
    Some((u64_at(bytes, end.checked_add(32)?)?, u64_at(bytes, end.checked_add(48)?)?))
}

/// The record whose directory entry is at `at`, and where the next entry is.
fn entry(bytes: &[u8], at: usize) -> Result<(Record<'_>, usize), String> {
    let cut = || "its directory entry is damaged or cut off".to_owned();
    let half = |i: usize| at.checked_add(i).and_then(|at| u16_at(bytes, at)).ok_or_else(cut);
    let word = |i: usize| at.checked_add(i).and_then(|at| u32_at(bytes, at)).ok_or_else(cut);
    if word(0)? != CENTRAL {
        return Err(cut());
    }
    let (flags, method) = (half(8)?, half(10)?);
    let (mut stored, mut size) = (word(20)? as usize, word(24)? as usize);
    let (name_len, extra_len, comment_len) =
        (usize::from(half(28)?), usize::from(half(30)?), usize::from(half(32)?));
    let mut local = word(42)? as usize;
    let name = bytes.get(at + 46..at + 46 + name_len).ok_or_else(cut)?;
    let name = std::str::from_utf8(name).map_err(|_| "its name is not UTF-8".to_owned())?;
    let extra = bytes.get(at + 46 + name_len..at + 46 + name_len + extra_len).ok_or_else(cut)?;
    // ZIP64: the fields that did not fit, in this order.
    let mut wide = wide_fields(extra);
    for field in [&mut size, &mut stored, &mut local] {
        if *field == 0xffff_ffff {
            *field = wide.next().ok_or_else(cut)?;
        }
    }
    if flags & 1 != 0 {
        return Err(format!("{name:?} is encrypted"));
    }
    if method != 0 || stored != size {
        return Err(format!("{name:?} is compressed: torch.save stores records as they are"));
    }
    if u32_at(bytes, local) != Some(LOCAL) {
        return Err(format!("{name:?} is not where the directory says"));
    }
    let header = |i: usize| u16_at(bytes, local + i).map(usize::from).ok_or_else(cut);
    let start = local + 30 + header(26)? + header(28)?;
    if start.checked_add(size).is_none_or(|end| end > bytes.len()) {
        return Err(format!("{name:?} lies outside of the file"));
    }
    Ok((Record { name, start, size }, at + 46 + name_len + extra_len + comment_len))
}

/// The 64-bit numbers in the ZIP64 extra field.
fn wide_fields(mut extra: &[u8]) -> impl Iterator<Item = usize> {
    let mut found: &[u8] = &[];
    while let (Some(id), Some(len)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let field = extra.get(4..4 + usize::from(len)).unwrap_or_default();
        if id == 1 {
            found = field;
            break;
        }
        extra = extra.get(4 + usize::from(len)..).unwrap_or_default();
    }
    (0..found.len() / 8).filter_map(move |i| u64_at(found, 8 * i))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))?;
    // Below this, sums of a few of them cannot overflow.
    usize::try_from(number).ok().filter(|n| *n < usize::MAX / 16)
}
