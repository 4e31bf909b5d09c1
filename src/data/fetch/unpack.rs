//! Unpacks an archive: plain files and folders below one folder, nothing else, no more than the archive holds.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::{FetchError, Known, Options, Phase, io_error};

/// More members than any dataset's archive has.
const MAX_MEMBERS: u64 = 20_000_000;

/// Unpacks `archive` as `place`.
pub(super) fn unpack(
    archive: &Path,
    place: &Path,
    known: &Known,
    options: &Options<'_>,
) -> Result<(), FetchError> {
    let length = std::fs::metadata(archive).map_err(io_error(archive))?.len();
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    let stage = tempfile::Builder::new()
        .prefix(&format!(".{}-", known.folder))
        .permissions(mode)
        .tempdir_in(&options.folder)
        .map_err(io_error(&options.folder))?;
    let file = File::open(archive).map_err(io_error(archive))?;
    let damaged = |error: std::io::Error| FetchError::Archive(error.to_string());
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let (mut members, mut written) = (0u64, 0u64);
    for member in archive.entries().map_err(damaged)? {
        options.cancelled()?;
        let mut member = member.map_err(damaged)?;
        members += 1;
        if members > MAX_MEMBERS {
            return Err(FetchError::Archive(format!("more than {MAX_MEMBERS} members")));
        }
        let kind = member.header().entry_type();
        // Remarks on the whole archive.
        if kind.is_pax_global_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let told = |what: &str| FetchError::Archive(format!("'{}' {what}", name.escape_default()));
        let path = below(&name).ok_or_else(|| told("leads out of its folder"))?;
        let path = stage.path().join(path);
        if kind.is_dir() {
            std::fs::create_dir_all(&path).map_err(io_error(&path))?;
            continue;
        }
        if !kind.is_file() {
            // A link could make a later member land elsewhere; a sparse file is larger than what stands for it.
            return Err(told("is a link, a device or a sparse file, and datasets hold plain files"));
        }
        written = written.saturating_add(member.size());
        if written > length {
            return Err(told("makes it larger than the archive is"));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io_error(folder))?;
        }
        let mut out = File::create_new(&path).map_err(io_error(&path))?;
        let copied = std::io::copy(&mut (&mut member).take(length), &mut out).map_err(damaged)?;
        if copied != member.size() {
            return Err(told("is cut short"));
        }
        (options.progress)(Phase::Unpack, written, length);
    }
    // The archive holds the folder itself, or what is in it.
    let inside = stage.path().join(known.folder);
    let whole = if inside.is_dir() { inside } else { stage.path().to_path_buf() };
    if let Some((missing, _)) = known.files.iter().find(|(file, _)| !whole.join(file).is_file()) {
        return Err(FetchError::Archive(format!("it has no {missing}: it is another dataset")));
    }
    if place.symlink_metadata().is_ok() {
        return Err(FetchError::Occupied(place.to_path_buf()));
    }
    std::fs::rename(&whole, place).map_err(io_error(place))
}

/// The path that a member's name means, when it stays below the folder.
fn below(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    // `./` is the folder itself.
    (!name.contains('\0')).then_some(path)
}
