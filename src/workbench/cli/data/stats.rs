//! `cocaptain data stats`: what a dataset is like.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::progress::Progress;
use data::stats::{Options, Spread, Stats, stats};
use unicode_width::UnicodeWidthStr;

use super::super::{Done, Failure, print};
use super::{plot, read};
use crate::tui::format::{bytes, count};

/// Bars of a histogram on the terminal.
const BARS: usize = 16;

/// The command.
pub fn command() -> Command {
    let command = Command::new("stats")
        .about("Count entries, captions, words and tokens; sizes of pictures; how fast they are decoded")
        .arg(
            Arg::new("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, shards or folder; see docs/datasets.md"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
        .arg(
            Arg::new("plot")
                .long("plot")
                .value_name("OUT.svg|OUT.png")
                .value_parser(value_parser!(PathBuf))
                .help("Draw the histograms into a file"),
        )
        .arg(
            Arg::new("pictures")
                .long("pictures")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .default_value("100000")
                .help("Headers of pictures that are read at most, spread evenly; 0 leaves the pictures out"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("S")
                .value_parser(value_parser!(f64))
                .default_value("2")
                .help("Measure decoding for about so long; 0 leaves it out"),
        );
    read::flags(read::token_flags(command))
}

/// Carries it out.
pub fn run(m: &ArgMatches) -> Done {
    if let Some(out) = m.get_one::<PathBuf>("plot") {
        plot::check(out)?;
    }
    let seconds = m.get_one::<f64>("seconds").copied().unwrap_or(0.0);
    if !(0.0..=3600.0).contains(&seconds) {
        return Err(Failure::Usage(format!("--seconds {seconds}: it takes 0 to 3600")));
    }
    let cancel = read::cancelled_by_signals()?;
    let dataset = read::open(m, "FILE")?;
    let pictures = m.get_one::<usize>("pictures").copied().unwrap_or(0);
    let options = Options {
        tokenizer: read::tokenizer(m, dataset.path())?,
        context_length: read::context_length(m),
        pictures,
        decoding: (seconds > 0.0 && pictures > 0).then(|| Duration::from_secs_f64(seconds)),
        side: 224,
    };
    let bar = read::Bar::new("counting");
    let tell = |done, all| bar.tell(done, all);
    let told = stats(&dataset, &options, &Progress { tell: &tell, cancel: &cancel });
    bar.end();
    let told = told.ok_or_else(|| Failure::Failed("stopped".to_owned()))?;
    if let Some(out) = m.get_one::<PathBuf>("plot") {
        plot::histograms(&told, out).map_err(Failure::Failed)?;
    }
    if m.get_flag("json") {
        let text = serde_json::to_string(&told).map_err(Failure::failed)?;
        return print(&format!("{text}\n"));
    }
    print(&people(&told))
}

/// What stands on the terminal.
fn people(told: &Stats) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: String| out += &format!("{name:<20}{}\n", run::escape::line(&value));
    row("dataset", format!("{} ({})", shorten(&told.path), told.format));
    let broken =
        if told.broken > 0 { format!(", {} of them no samples", count(told.broken)) } else { String::new() };
    row("entries", format!("{}{broken}", count(told.entries)));
    row("pictures", count(told.images));
    let each = &told.captions_per_image;
    row(
        "captions",
        format!("{}, of a picture {} to {}, mean {:.2}", count(told.captions), each.min, each.max, each.mean),
    );
    let once = format!("{}, {} of them once", count(told.vocabulary), count(told.once));
    row("different words", once);
    row("token ids used", format!("{} of {}", count(told.token_ids.0), count(told.token_ids.1)));
    let cut = told.cut as f64 / told.captions.max(1) as f64 * 100.0;
    let lost = told.lost_share * 100.0;
    row(
        "captions cut",
        format!(
            "{} ({cut:.2} %) at {} tokens, {lost:.2} % of all tokens lost",
            count(told.cut),
            told.context_length
        ),
    );
    let words: Vec<String> =
        told.top_words.iter().take(16).map(|(word, n)| format!("{word} {}", count(*n))).collect();
    row("commonest words", words.join("  "));
    out += &histogram("tokens of a caption, start and end included", &told.tokens);
    let pictures = &told.pictures;
    if pictures.read > 0 {
        let formats: Vec<String> =
            pictures.formats.iter().map(|(name, n)| format!("{name} {}", count(*n))).collect();
        let mut row =
            |name: &str, value: String| out += &format!("{name:<20}{}\n", run::escape::line(&value));
        row(
            "headers read",
            format!(
                "{}, {} not there, {} no pictures",
                count(pictures.read),
                count(pictures.missing),
                count(pictures.broken)
            ),
        );
        row("formats", format!("{}, {}", formats.join(", "), bytes(pictures.bytes)));
        let spread = |s: &Spread| format!("{} to {}, middle {}", s.min, s.max, s.median);
        row("width", spread(&pictures.width));
        row("height", spread(&pictures.height));
        let sizes: Vec<String> =
            pictures.sizes.iter().take(6).map(|(size, n)| format!("{size} {}", count(*n))).collect();
        row("commonest sizes", sizes.join("  "));
        out += &histogram("width of pictures, pixels", &pictures.width);
    }
    if let Some(decoding) = &told.decoding {
        out += &format!(
            "{:<20}{:.0} pictures/s ({:.1} MB/s) on one thread; {:.0}/s resized to {} too (of {} pictures)\n",
            "decoding",
            decoding.pictures_per_second,
            decoding.megabytes_per_second,
            decoding.prepared_per_second,
            decoding.side,
            decoding.pictures
        );
    }
    out
}

fn shorten(path: &str) -> String {
    Path::new(path).display().to_string()
}

/// A histogram, a bar a line.
pub fn histogram(title: &str, spread: &Spread) -> String {
    if spread.count == 0 {
        return String::new();
    }
    let bars = spread.bars(BARS);
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    let step = bars.get(1).map_or(1, |(second, _)| second - spread.min);
    let mut out = format!(
        "\n{title}: mean {:.1}, middle {}, 95 % up to {}, {} to {}\n",
        spread.mean, spread.median, spread.p95, spread.min, spread.max
    );
    let label = |from: u64| if step == 1 { from.to_string() } else { format!("{from}-{}", from + step - 1) };
    let width = bars.iter().map(|(from, _)| label(*from).width()).max().unwrap_or(0);
    for (from, n) in bars {
        // Eighths of a cell, so that small bars are seen.
        let eighths = usize::try_from((n * 40 * 8).div_ceil(most)).unwrap_or(0);
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let bar = format!("{}{}", "█".repeat(eighths / 8), part.get(eighths % 8).copied().unwrap_or(""));
        let share = n as f64 / spread.count as f64 * 100.0;
        out += &format!("{:>width$} {bar:<40} {:>9} {share:5.1} %\n", label(from), count(n));
    }
    out += "\n";
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn() {
        let text = histogram("lengths", &Spread::new([(3, 100), (4, 1), (6, 50)].into()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "lengths: mean 4.0, middle 3, 95 % up to 6, 3 to 6");
        assert!(lines[2].starts_with(&format!("3 {} ", "█".repeat(40))), "{text}");
        assert!(lines[3].starts_with("4 ▌ ") && lines[4].starts_with("5  ") && lines.len() == 7, "{text}");
        assert_eq!(histogram("none", &Spread::default()), "");
    }
}
