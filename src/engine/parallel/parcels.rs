//! Files between machines that share no file system: a checkpoint that rank 0's machine has is sent to the others before
//! they go on from it, and their pieces of a new one are sent to rank 0.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};

use super::{Mesh, ParallelError};

/// Bytes of one message.
const CHUNK: usize = 32 << 20;

/// Why a folder could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// The other end is gone.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
    /// A file cannot be read or written.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> ParcelError {
    let path = path.to_owned();
    move |source| ParcelError::Io { path, what, source }
}

impl Mesh {
    /// The first rank of each machine that is not rank 0's.
    fn away_leads(&self) -> Vec<u32> {
        let ranks = 0..self.degrees().ranks();
        let leads = ranks.filter(|rank| {
            self.is_away(*rank) && !(0..*rank).any(|before| self.member(before) == self.member(*rank))
        });
        leads.collect()
    }

    /// Sends words to one rank.
    ///
    /// # Errors
    /// That rank is gone or late.
    pub fn tell<T: Serialize>(&self, to: u32, words: &T) -> Result<(), ParallelError> {
        let Some(groups) = &self.groups else { return Ok(()) };
        let text = serde_json::to_vec(words)?;
        groups.words.send(&Tensor::f_from_slice(&[text.len() as i64])?, to as usize)?;
        for chunk in text.chunks(CHUNK) {
            groups.words.send(&Tensor::f_from_slice(chunk)?, to as usize)?;
        }
        Ok(())
    }

    /// What a rank [`Mesh::tell`]s this one.
    ///
    /// # Errors
    /// That rank is gone or late, or says what makes no sense.
    pub fn hear<T: DeserializeOwned>(&self, from: u32) -> Result<T, ParallelError> {
        let Some(groups) = &self.groups else { return Ok(serde_json::from_slice(b"null")?) };
        let mut length = Tensor::from(0_i64).f_view([1])?;
        groups.words.receive(&mut length, from as usize)?;
        let mut left = usize::try_from(length.f_int64_value(&[0])?).unwrap_or(0);
        let mut text = Vec::new();
        while left > 0 {
            let n = left.min(CHUNK);
            let mut chunk = Tensor::f_zeros([n as i64], (Kind::Uint8, Device::Cpu))?;
            groups.words.receive(&mut chunk, from as usize)?;
            text.extend(<Vec<u8>>::try_from(&chunk)?);
            left -= n;
        }
        Ok(serde_json::from_slice(&text)?)
    }

    /// Sends numbers to one rank, which knows how many.
    ///
    /// # Errors
    /// That rank is gone or late.
    pub fn send(&self, to: u32, values: &Tensor) -> Result<(), ParallelError> {
        let Some(groups) = &self.groups else { return Ok(()) };
        let flat = values.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
        Ok(groups.words.send(&flat.f_view([-1])?, to as usize)?)
    }

    /// So many float32 numbers that a rank [`Mesh::send`]s this one.
    ///
    /// # Errors
    /// That rank is gone or late.
    pub fn receive(&self, from: u32, numbers: usize) -> Result<Tensor, ParallelError> {
        let mut values = Tensor::f_zeros([numbers as i64], (Kind::Float, Device::Cpu))?;
        if let Some(groups) = &self.groups {
            groups.words.receive(&mut values, from as usize)?;
        }
        Ok(values)
    }
}

/// Gives every machine a copy of a folder that rank 0 has; all ranks call it together. `from` is the folder on rank 0,
/// none on the others; says where it is on this machine: there, or below `into`.
///
/// # Errors
/// A rank that is gone, or a disk that refuses; the latter on every rank.
pub fn receive_folder(mesh: &Mesh, from: Option<&Path>, into: &Path) -> Result<PathBuf, ParcelError> {
    let leads = mesh.away_leads();
    let done = if mesh.is_first() {
        let from = from.unwrap_or(into);
        send_files(mesh, &leads, from).map(|()| from.to_owned())
    } else if leads.contains(&(mesh.rank() as u32)) {
        take_files(mesh, into).map(|()| into.to_owned())
    } else {
        Ok(PathBuf::new())
    };
    let said = match &done {
        // A rank that is gone is told by its own error.
        Err(ParcelError::Parallel(_)) => return done,
        Err(e) => Err(e.to_string()),
        Ok(place) => Ok(place.clone()),
    };
    let all: Vec<Result<PathBuf, String>> = mesh.all_say(&said)?;
    if let Some(why) = all.iter().find_map(|said| said.as_ref().err()) {
        let source = std::io::Error::other(why.clone());
        return Err(done.err().unwrap_or_else(|| io(into, "a checkpoint could not be sent")(source)));
    }
    let own = mesh.member(mesh.rank() as u32);
    let lead = (0..mesh.size() as u32).find(|rank| mesh.member(*rank) == own).unwrap_or(0);
    Ok(all.into_iter().nth(lead as usize).and_then(Result::ok).unwrap_or_default())
}

/// A folder's files with their sizes.
fn files_of(folder: &Path) -> Result<Vec<(String, u64)>, ParcelError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder, "cannot be read"))?.flatten() {
        let bytes = entry.metadata().map_err(io(&entry.path(), "cannot be read"))?.len();
        files.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    Ok(files)
}

/// Sends a folder's files to each of these ranks. As many bytes as were announced go to all of them, whatever the disk
/// says: the calls of both ends must match.
fn send_files(mesh: &Mesh, to: &[u32], from: &Path) -> Result<(), ParcelError> {
    let Some(groups) = &mesh.groups else { return Ok(()) };
    let listed = files_of(from);
    let (files, mut failed) = match listed {
        Ok(files) => (files, None),
        Err(e) => (Vec::new(), Some(e)),
    };
    for to in to {
        mesh.tell(*to, &files)?;
        for (name, bytes) in &files {
            let path = from.join(name);
            let mut file = File::open(&path);
            let mut left = *bytes;
            while left > 0 {
                let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
                if let Ok(open) = &mut file
                    && let Err(e) = open.read_exact(&mut chunk)
                {
                    file = Err(e);
                }
                left -= chunk.len() as u64;
                let tensor = Tensor::f_from_slice(&chunk).map_err(ParallelError::from)?;
                groups.words.send(&tensor, *to as usize).map_err(ParallelError::from)?;
            }
            if let Err(e) = file {
                failed.get_or_insert(io(&path, "cannot be read")(e));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn take_files(mesh: &Mesh, into: &Path) -> Result<(), ParcelError> {
    let files: Vec<(String, u64)> = mesh.hear(0)?;
    let made = std::fs::create_dir_all(into).map_err(io(into, "cannot be made"));
    let Some(groups) = &mesh.groups else { return Ok(()) };
    let mut failed = made.err();
    for (name, bytes) in files {
        // A name, never a path: rank 0's words do not reach out of the folder.
        let path = into.join(Path::new(&name).file_name().unwrap_or_default());
        let mut file = match File::create(&path) {
            Ok(file) => Some(file),
            Err(e) => {
                failed.get_or_insert(io(&path, "cannot be made")(e));
                None
            }
        };
        let mut left = bytes;
        // All of it is taken whatever the disk says: the calls of both ends must match.
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk =
                Tensor::f_zeros([n as i64], (Kind::Uint8, Device::Cpu)).map_err(ParallelError::from)?;
            groups.words.receive(&mut chunk, 0).map_err(ParallelError::from)?;
            left -= n as u64;
            let chunk = <Vec<u8>>::try_from(&chunk).map_err(ParallelError::from)?;
            if let Some(Err(e)) = file.as_mut().map(|file| file.write_all(&chunk)) {
                failed.get_or_insert(io(&path, "cannot be written")(e));
                file = None;
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
