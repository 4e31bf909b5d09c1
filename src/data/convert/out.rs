//! Where the parts of an output stand: first under a temporary name, then in their place.

use std::path::{Path, PathBuf};

use super::{ConvertError, Options, io_error};
use crate::dataset::Dataset;
use crate::reader::{Format, Split};

/// What is written where, below the output.
pub(super) struct Layout {
    out: PathBuf,
    /// The folder that the output stands in.
    folder: PathBuf,
    format: Format,
    /// Whether the output is one file (with what belongs to it beside it) instead of a folder.
    file: bool,
    /// The end of a table's name.
    table: &'static str,
}

impl Layout {
    pub fn new(out: &Path, options: &Options, dataset: &Dataset) -> Result<Self, ConvertError> {
        let cannot = |text: String| Err(ConvertError::Cannot(text));
        if dataset.is_empty() {
            return cannot("the dataset has no samples: there is nothing to write".to_owned());
        }
        let told = super::format_of(out);
        let folders = matches!(options.format, Format::Sidecar | Format::Classes);
        let file = told.is_some();
        if let Some(told) = told.filter(|told| *told != options.format) {
            return cannot(format!(
                "{}: a name of format {}, and {} is to be written: name it otherwise, or leave --to out",
                out.display(),
                told.name(),
                options.format.name()
            ));
        }
        if file && (options.plan.is_some() || folders) {
            return cannot(format!("{}: splits need a folder: name one", out.display()));
        }
        let whole = std::path::absolute(out).map_err(io_error(out))?;
        let folder = whole.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let table = if options.separator == b'\t' { "tsv" } else { "csv" };
        let layout = Self { out: whole, folder, format: options.format, file, table };
        layout.check()?;
        Ok(layout)
    }

    /// Whether all that will be written finds its place free.
    fn check(&self) -> Result<(), ConvertError> {
        let empty_folder =
            !self.file && std::fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_none());
        if self.out.symlink_metadata().is_ok() && !empty_folder {
            return Err(ConvertError::Exists(self.out.clone()));
        }
        Ok(())
    }

    /// Where readers will look for the pictures of the annotations.
    pub fn roots(&self) -> Vec<PathBuf> {
        let folder = match (self.file, self.format) {
            (true, _) => self.folder.clone(),
            (false, Format::Karpathy) => self.out.join("annotations"),
            (false, _) => self.out.clone(),
        };
        vec![folder.clone(), folder.join("images"), folder.join("../images")]
    }

    fn name(&self) -> PathBuf {
        self.out.file_name().map_or_else(|| PathBuf::from("out"), PathBuf::from)
    }

    /// The annotation file.
    pub fn annotations(&self, stage: &Stage, split: Option<Split>) -> PathBuf {
        let split = split.unwrap_or(Split::Train).name();
        stage.path.join(match (self.file, self.format) {
            (true, _) => self.name(),
            (false, Format::Karpathy) => format!("annotations/coco_karpathy_{split}.json").into(),
            (false, Format::Table) => format!("{split}.{}", self.table).into(),
            (false, Format::Laion) => format!("{split}.filelist").into(),
            (false, _) => format!("{split}.jsonl").into(),
        })
    }

    /// The one shard, or the folder of shards.
    pub fn shards(&self, stage: &Stage, split: Option<Split>) -> PathBuf {
        if self.file { stage.path.join(self.name()) } else { self.folder(stage, split) }
    }

    /// The folder of a split.
    pub fn folder(&self, stage: &Stage, split: Option<Split>) -> PathBuf {
        split.map_or_else(|| stage.path.clone(), |split| stage.path.join(split.name()))
    }

    /// The folder that pictures are copied to.
    pub fn gallery(&self, stage: &Stage, split: Option<Split>) -> PathBuf {
        match self.format {
            Format::Sidecar | Format::Classes => self.folder(stage, split),
            _ => stage.path.join("images"),
        }
    }
}

/// The temporary folder that all is written to; it goes with this, unless it was put in its place.
pub(super) struct Stage {
    pub path: PathBuf,
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn new(layout: &Layout) -> Result<Self, ConvertError> {
        std::fs::create_dir_all(&layout.folder).map_err(io_error(&layout.folder))?;
        let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        let folder = tempfile::Builder::new()
            .prefix(".cocaptain-")
            .permissions(mode)
            .tempdir_in(&layout.folder)
            .map_err(io_error(&layout.folder))?;
        Ok(Self { path: folder.path().to_path_buf(), folder })
    }

    /// Moves all to its place; what has come there meanwhile is left alone.
    pub fn place(self, layout: &Layout) -> Result<(), ConvertError> {
        layout.check()?;
        if !layout.file {
            std::fs::rename(&self.path, &layout.out).map_err(io_error(&layout.out))?;
            // It is in its place, and no temporary folder any more.
            let _ = self.folder.keep();
            return Ok(());
        }
        let mut moves = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io_error(&self.path))? {
            let entry = entry.map_err(io_error(&self.path))?;
            let to = layout.folder.join(entry.file_name());
            if to.symlink_metadata().is_ok() {
                return Err(ConvertError::Exists(to));
            }
            moves.push((entry.path(), to));
        }
        // The file itself last: where it is, all is.
        moves.sort_by_key(|(_, to)| *to == layout.out);
        for (from, to) in moves {
            std::fs::rename(&from, &to).map_err(io_error(&to))?;
        }
        Ok(())
    }
}

/// A file to be written, with the folders above it.
pub(super) fn create(path: &Path) -> Result<std::io::BufWriter<std::fs::File>, ConvertError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io_error(folder))?;
    }
    let file = std::fs::File::create_new(path).map_err(io_error(path))?;
    Ok(std::io::BufWriter::with_capacity(1 << 18, file))
}
