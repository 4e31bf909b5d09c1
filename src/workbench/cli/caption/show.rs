//! Captions on the terminal, in a pipe, as JSON.

use std::io::{IsTerminal, Write};
use std::path::Path;

use run::serve::Written;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::cli::{Done, Failure, serving, stream};

/// A picture as a line of JSON.
#[derive(serde::Serialize)]
struct Line<'a> {
    image: &'a str,
    caption: &'a str,
    ids: &'a [i64],
    seconds: f64,
    /// All captions, where there are several; the first one is above, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captions: Vec<serde_json::Value>,
}

/// How captions are shown.
pub struct Show {
    json: bool,
    terminal: bool,
    pictures: bool,
    /// Whether there is one picture only: its caption is shown while it grows.
    alone: bool,
    /// Whether each picture has one caption: several cannot grow below each other.
    one: bool,
    /// What of the growing caption stands on the terminal.
    shown: Option<String>,
}

impl Show {
    /// For `count` pictures with so many captions each.
    pub fn new(json: bool, no_picture: bool, count: usize, captions: u32) -> Self {
        let terminal = std::io::stdout().is_terminal() && !json;
        Self {
            json,
            terminal,
            pictures: terminal && !no_picture,
            alone: count == 1,
            one: captions == 1,
            shown: None,
        }
    }

    /// Whether tokens are of any use.
    pub fn streams(&self) -> bool {
        self.terminal && self.alone && self.one
    }

    /// A caption grew.
    pub fn token(&mut self, image: &Path, text: &str) -> Done {
        if self.shown.is_none() {
            self.picture(image);
        }
        let shown = self.shown.take().unwrap_or_default();
        let text = run::escape::line(text).into_owned();
        let (written, shown) = over(&shown, text, columns());
        stream(&written)?;
        self.shown = Some(shown);
        Ok(())
    }

    /// A picture is done.
    pub fn caption(&mut self, image: &Path, captions: &[Written], seconds: f64) -> Done {
        let shown = self.shown.take();
        // The line is that of the progress, unless a caption grew there.
        if shown.is_none() {
            serving::clear();
        }
        let Some(first) = captions.first() else { return Ok(()) };
        let path = image.to_string_lossy();
        if self.json {
            let one = |c: &Written| json!({ "caption": c.text, "ids": c.ids, "score": c.score });
            let line = Line {
                image: &path,
                caption: &first.text,
                ids: &first.ids,
                seconds,
                captions: if captions.len() > 1 { captions.iter().map(one).collect() } else { Vec::new() },
            };
            let line = serde_json::to_string(&line).map_err(Failure::failed)?;
            return stream(&format!("{line}\n"));
        }
        if !self.terminal {
            let lines: String = captions.iter().map(|c| plain(&path, &c.text)).collect();
            return stream(&lines);
        }
        if let Some(shown) = shown {
            let text = run::escape::line(&first.text).into_owned();
            let (written, shown) = over(&shown, text.clone(), columns());
            stream(&format!("{written}\n"))?;
            if captions.len() == 1 && shown == text {
                return Ok(());
            }
        } else {
            self.picture(image);
        }
        let mut text = String::new();
        if !self.alone {
            text += &format!("{}\n", run::escape::line(&path));
        }
        for caption in captions {
            let score = caption.score.filter(|_| captions.len() > 1);
            let score = score.map_or(String::new(), |s| format!("  ({s:.2})"));
            text += &format!("{}{score}\n", run::escape::line(&caption.text));
        }
        stream(&text)
    }

    /// A picture could not be read.
    pub fn unreadable(&mut self, image: &Path, why: &str) -> Done {
        serving::clear();
        let path = image.to_string_lossy();
        let words = format!("cocaptain: {}: {}", run::escape::line(&path), run::escape::line(why));
        let _ = writeln!(std::io::stderr(), "{words}");
        if self.json { stream(&format!("{}\n", json!({ "image": path, "error": why }))) } else { Ok(()) }
    }

    /// Prints the picture, where the terminal can; one that cannot be shown is no loss.
    fn picture(&self, image: &Path) {
        if self.pictures {
            let _ = inline(image);
        }
    }
}

/// What to write where `shown` stands for `text` to stand there, and what stands there then: the best of several beams is not
/// always what it was before, with an id more. A line that the terminal has broken cannot be taken back.
fn over(shown: &str, text: String, columns: usize) -> (String, String) {
    match text.strip_prefix(shown) {
        Some(new) => (new.to_owned(), text),
        None if shown.width() < columns => (format!("\r\x1b[2K{text}"), text),
        None => (String::new(), shown.to_owned()),
    }
}

fn columns() -> usize {
    crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns))
}

fn plain(path: &str, text: &str) -> String {
    format!("{}\t{}\n", run::escape::line(path), run::escape::line(text))
}

fn inline(image: &Path) -> Result<(), String> {
    crate::inline::show(&std::fs::read(image).map_err(|e| e.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_caption_is_written_over_where_it_can_be() {
        let over = |shown, text: &str| over(shown, text.to_owned(), 10);
        assert_eq!(over("", "a"), ("a".into(), "a".into()));
        assert_eq!(over("a", "a cat"), (" cat".into(), "a cat".into()));
        assert_eq!(over("a cat", "two"), ("\r\x1b[2Ktwo".into(), "two".into()));
        // Longer than the line: appending is all that can be done.
        assert_eq!(over("a cat on a mat", "two"), (String::new(), "a cat on a mat".into()));
        assert_eq!(over("a cat on a mat", "a cat on a mat."), (".".into(), "a cat on a mat.".into()));
    }
}
