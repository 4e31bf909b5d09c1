//! Numbers, bytes, spans of time and foreign text as people read them.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// 1234567 as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its word: `1 error`, `2,000 errors`.
pub fn many(n: u64, word: &str) -> String {
    format!("{} {word}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Bytes with a binary unit and three significant digits: `1.46 GiB`.
#[allow(clippy::cast_precision_loss)]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or("KiB");
    for next in units {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// A number with about four significant digits: `2.131`, `0.00042` as `4.2e-4`, `12,345`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn number(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = x.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e9).contains(&size) {
        let text = format!("{x:.3e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) if mantissa.contains('.') => {
                format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        }
    } else if size >= 1000.0 {
        let sign = if x < 0.0 { "-" } else { "" };
        format!("{sign}{}", count(size.round() as u64))
    } else {
        let decimals = if size < 1.0 {
            4
        } else if size < 10.0 {
            3
        } else if size < 100.0 {
            2
        } else {
            1
        };
        format!("{x:.decimals$}")
    }
}

/// A span of time: `42 s`, `4 min 10 s`, `2 h 05 min`, `3 d 04 h`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let s = seconds.clamp(0.0, 1e12).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86400 => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {:02} h", s / 86400, s % 86400 / 3600),
    }
}

/// How long ago, with one unit: `now`, `42 s ago`, `3 min ago`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn ago(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let s = seconds.clamp(0.0, 1e12) as u64;
    match s {
        0..5 => "now".to_owned(),
        5..60 => format!("{} s ago", s / 5 * 5),
        60..3600 => format!("{} min ago", s / 60),
        3600..86400 => format!("{} h ago", s / 3600),
        _ => format!("{} d ago", s / 86400),
    }
}

/// A share as percent: `0.314` is `31 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0) } else { "n/a".to_owned() }
}

/// Foreign text made safe and cut to `width` columns, with an ellipsis when something is left off.
pub fn cut(text: &str, width: usize) -> String {
    let text = run::escape::line(text);
    if text.width() <= width {
        return text.into_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

/// As [`cut`], but the end is kept: of a long path it tells more.
pub fn tail(text: &str, width: usize) -> String {
    let text = run::escape::line(text);
    let mut over = text.width();
    if over <= width {
        return text.into_owned();
    }
    let rest = text.chars().skip_while(|c| {
        let skip = over + 1 > width;
        over -= if skip { c.width().unwrap_or(0) } else { 0 };
        skip
    });
    std::iter::once('…').chain(rest).collect()
}

/// Foreign text made safe.
pub fn safe(text: &str) -> Cow<'_, str> {
    run::escape::line(text)
}

/// Text filled with spaces (or cut) to exactly `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    let mut text = cut(text, width);
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width())));
    text
}

/// As [`pad`], but to the right edge.
pub fn pad_left(text: &str, width: usize) -> String {
    let text = cut(text, width);
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// Words broken into lines of at most `width` columns.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let paragraph = run::escape::line(paragraph);
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|w| !w.is_empty()) {
            let mut word = word.to_owned();
            let room = width.saturating_sub(line.width() + usize::from(!line.is_empty()));
            if word.width() > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            while word.width() > width {
                let mut used = 0;
                let cut = word
                    .char_indices()
                    .find(|(_, c)| {
                        used += c.width().unwrap_or(0);
                        used > width
                    })
                    .map_or(word.len(), |(i, _)| i);
                // A character wider than the line would never fit: let it stand alone.
                let cut = if cut == 0 { word.chars().next().map_or(1, char::len_utf8) } else { cut };
                let rest = word.split_off(cut);
                lines.push(std::mem::replace(&mut word, rest));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += &word;
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(900), "900 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(16 << 30), "16.0 GiB");
        assert_eq!(bytes(1023 << 20), "1.00 GiB");
        assert_eq!(number(2.1314), "2.131");
        assert_eq!(number(4.2e-4), "4.2e-4");
        assert_eq!(number(5e-4), "5e-4");
        assert_eq!(number(-12345.4), "-12,345");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(percent(0.314), "31 %");
    }

    #[test]
    fn times() {
        assert_eq!(span(42.4), "42 s");
        assert_eq!(span(250.0), "4 min 10 s");
        assert_eq!(span(7500.0), "2 h 05 min");
        assert_eq!(span(f64::NAN), "?");
        assert_eq!(ago(1.0), "now");
        assert_eq!(ago(43.0), "40 s ago");
    }

    #[test]
    fn widths_are_kept() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("猫猫猫", 5), "猫猫…");
        assert_eq!(cut("a\x1b[2J", 9), "a\u{fffd}[2J");
        assert_eq!(pad("猫", 4), "猫  ");
        assert_eq!((tail("abcdef", 4).as_str(), tail("abc", 4).as_str()), ("…def", "abc"));
        assert_eq!(cut("abc", 0), "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }
}
