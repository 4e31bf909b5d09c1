//! Paths as people type and paste them.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The path that a text means: as it is, quoted, or as a file manager's address; none of an empty one.
pub fn typed_path(text: &str) -> Option<PathBuf> {
    let text = text.trim().trim_matches(['\'', '"']);
    let path = || text.strip_prefix("file://").map_or_else(|| PathBuf::from(text), of_address);
    (!text.is_empty()).then(path)
}

/// The path of an address behind `file://`: the host, which can only be this one, goes; `%41` is a byte.
fn of_address(address: &str) -> PathBuf {
    let path = address.find('/').and_then(|at| address.get(at..)).unwrap_or(address);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|h| *first == b'%' && h.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_quotes_are_taken_off() {
        for (text, path) in [
            (" '/a b.json'\n", "/a b.json"),
            ("file:///a%20%C3%BC%.png", "/a ü%.png"),
            ("file://here/a.tar", "/a.tar"),
            ("/100%20.png", "/100%20.png"),
        ] {
            assert_eq!(typed_path(text), Some(PathBuf::from(path)), "{text}");
        }
        assert_eq!(typed_path(" \"\" "), None);
    }
}
