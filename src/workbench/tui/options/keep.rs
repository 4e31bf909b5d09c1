//! Writes an option into the person's file and leaves all else in it as it is: comments, order, what is not understood.

use run::settings::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use toml_edit::{DocumentMut, Item, value};

/// Keeps an option, unless a later choice of the same one was kept already; says where. Blocks.
///
/// # Errors
/// Where it could not be written, and why; the file is as it was then.
pub fn keep(order: u64, name: &'static str, chosen: &Value) -> Result<PathBuf, String> {
    // A person may choose faster than a disk writes: one writes at a time, and the last choice stays.
    static KEPT: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let path = super::path().ok_or("there is no home folder to keep options in")?;
    let last = kept.entry(name).or_default();
    if order > *last {
        *last = order;
        keep_in(&path, name, chosen)?;
    }
    Ok(path)
}

fn keep_in(path: &Path, name: &str, chosen: &Value) -> Result<(), String> {
    let told = |what: String| format!("{}: {name} is not kept: {what}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(told(e.to_string())),
    };
    let text = with(&text, name, chosen).map_err(told)?;
    // The file may be a link into a folder where a person keeps such files.
    let file = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    file.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| run::dir::replace_file(&file, text.as_bytes()))
        .map_err(|e| told(e.to_string()))
}

/// The text with the option in it.
fn with(text: &str, name: &str, chosen: &Value) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        let line = 1 + text.bytes().take(e.span().map_or(0, |s| s.start)).filter(|b| *b == b'\n').count();
        format!("line {line} is not TOML: {}", e.message().trim())
    })?;
    let mut new = match chosen {
        Value::Bool(on) => value(*on),
        other => value(other.to_string()),
    };
    match document.get_mut(name) {
        Some(old) => {
            // What stands around the value: spaces, a comment behind it.
            if let (Some(old), Some(new)) = (old.as_value(), new.as_value_mut()) {
                *new.decor_mut() = old.decor().clone();
            }
            *old = new;
        }
        None => {
            // A file that is nothing but comments keeps them in front.
            let comments =
                document.iter().next().is_none().then(|| document.trailing().as_str().map(str::to_owned));
            document.insert(name, new);
            if let Some(comments) = comments.flatten()
                && let Some(mut key) = document.key_mut(name)
            {
                key.leaf_decor_mut().set_prefix(comments);
                document.set_trailing("");
            }
        }
    }
    debug_assert!(document.get(name).is_some_and(Item::is_value));
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Value {
        Value::Text(s.to_owned())
    }

    #[test]
    fn nothing_else_changes() {
        let file = "# mine\ntheme   = 'dark'   # at night\n\nmouse = true\nunknown = [1, # one\n 2]\n\n# keys\n[keys.charts]\nsmoothing = \"s\" # as ever\n";
        let changed = with(file, "theme", &text("light")).unwrap();
        assert_eq!(changed, file.replace("'dark'", "\"light\""));
        let more = with(&changed, "images", &text("sixel")).unwrap();
        assert_eq!(more, changed.replace(" 2]\n", " 2]\nimages = \"sixel\"\n"));
        assert_eq!(with(&more, "mouse", &Value::Bool(false)).unwrap(), more.replace("= true", "= false"));
    }

    #[test]
    fn files_without_options_get_one() {
        assert_eq!(with("", "bell", &Value::Bool(true)).unwrap(), "bell = true\n");
        assert_eq!(with("# mine\n", "bell", &Value::Bool(true)).unwrap(), "# mine\nbell = true\n");
        let keys = "# my keys\n[keys.charts]\nsmoothing = \"s\"\n";
        let (options, told) =
            super::super::read(&with(keys, "bell", &Value::Bool(true)).unwrap(), Path::new("w.toml"));
        assert!(options.bell && told.is_empty(), "{told:?}");
    }

    #[test]
    fn what_is_no_toml_is_left_alone_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real.toml"), "bell = true\nmouse = \n").unwrap();
        std::os::unix::fs::symlink(at("real.toml"), at("w.toml")).unwrap();
        let refused = keep_in(&at("w.toml"), "images", &text("off")).unwrap_err();
        assert!(refused.contains("w.toml") && refused.contains("line 2"), "{refused}");
        assert_eq!(std::fs::read_to_string(at("real.toml")).unwrap(), "bell = true\nmouse = \n");
        std::fs::write(at("real.toml"), "bell = true\n").unwrap();
        keep_in(&at("w.toml"), "images", &text("off")).unwrap();
        assert_eq!(std::fs::read_to_string(at("real.toml")).unwrap(), "bell = true\nimages = \"off\"\n");
        assert!(at("w.toml").is_symlink());
        keep_in(&at("new/folder/w.toml"), "mouse", &Value::Bool(false)).unwrap();
        assert_eq!(std::fs::read_to_string(at("new/folder/w.toml")).unwrap(), "mouse = false\n");
    }

    proptest::proptest! {
        #[test]
        fn any_file_keeps_its_other_options(before in "(#[ a-z]*\n){0,2}(mouse = (true|false)( # [a-z]*)?\n)?(theme = \"dark\"\n)?(\n#[a-z]*\n\\[keys[.]charts\\]\n)?") {
            let after = with(&before, "bell", &Value::Bool(true)).unwrap();
            let (old, _) = super::super::read(&before, Path::new("w.toml"));
            let (new, told) = super::super::read(&after, Path::new("w.toml"));
            proptest::prop_assert!(told.is_empty(), "{:?}", told);
            proptest::prop_assert_eq!(new, super::super::Options { bell: true, ..old });
            for line in before.lines() {
                proptest::prop_assert!(after.lines().any(|l| l == line), "{:?} is lost in {:?}", line, after);
            }
        }
    }
}
