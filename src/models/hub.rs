//! Models from the hub.

use std::path::PathBuf;

use crate::known::KnownModel;

/// The folder of a known model that has been fetched.
pub fn fetched(_model: &KnownModel) -> Option<PathBuf> {
    None
}
