//! How captions are written, as flags.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use run::decoding::{Compat, Decoding, Method};

use crate::cli::Failure;

/// Adds the flags.
pub fn flags(command: Command) -> Command {
    let default = Decoding::default();
    let flag = |name: &'static str, value: &'static str, help: String| {
        let flag =
            Arg::new(name).long(name).value_name(value).help(help).help_heading("How captions are written");
        if name.contains('_') { flag.alias(name.replace('_', "-")) } else { flag }
    };
    let whole = |name, help: String| flag(name, "N", help).value_parser(value_parser!(u32));
    let real = |name, help: String| flag(name, "X", help).value_parser(value_parser!(f64));
    command
        .arg(flag("prompt", "TEXT", "Text that every caption begins with".into()))
        .arg(whole("beams", "Beam search with N beams (the default, with 6)".into()))
        .arg(whole("groups", "Groups of beams, which divide them (default 1)".into()))
        .arg(real(
            "diversity_penalty",
            "Makes an id less likely that an earlier group chose (default 0)".into(),
        ))
        .arg(real("length_penalty", "Divides a beam's score by its length to this power (default 1)".into()))
        .arg(
            flag("greedy", "", "The likeliest id at each step".into()).num_args(0).action(ArgAction::SetTrue),
        )
        .arg(whole("top_k", "Draw from the K likeliest ids".into()))
        .arg(real("top_p", "Draw from the likeliest ids up to this probability".into()))
        .group(ArgGroup::new("search").args(["beams", "greedy"]).multiple(false))
        .arg(real(
            "temperature",
            format!("Divides the logits before a draw (default {})", default.temperature),
        ))
        .arg(real(
            "repetition_penalty",
            format!("Makes ids that are there less likely (default {})", default.repetition_penalty),
        ))
        .arg(whole("min_len", format!("No end before this length (default {})", default.min_len)))
        .arg(whole("max_len", format!("The end at the latest (default {})", default.max_len)))
        .arg(whole("captions", "Captions for each picture (default 1)".into()))
        .arg(
            flag("seed", "N", format!("Seed of draws (default {})", default.seed))
                .value_parser(value_parser!(u64)),
        )
        .arg(flag("compat", "NAME", "Reproduce another program's ids".into()).value_parser(["openclip-3.3"]))
}

/// What the flags say, checked.
pub fn read(m: &ArgMatches) -> Result<Decoding, Failure> {
    let default = Decoding::default();
    let whole = |name: &str| m.get_one::<u32>(name).copied();
    let real = |name: &str| m.get_one::<f64>(name).copied();
    let (top_k, top_p) = (whole("top_k"), real("top_p"));
    let draws = top_k.is_some() || top_p.is_some();
    if draws && (m.get_flag("greedy") || whole("beams").is_some()) {
        return Err(Failure::Usage("--top_k and --top_p draw: leave out --greedy and --beams".to_owned()));
    }
    let of_beams =
        ["groups", "diversity_penalty", "length_penalty"].into_iter().find(|name| m.contains_id(name));
    if let Some(name) = of_beams.filter(|_| draws || m.get_flag("greedy")) {
        return Err(Failure::Usage(format!(
            "--{name} is of beam search: leave out --greedy, --top_k and --top_p"
        )));
    }
    let beam = || Method::Beam {
        beams: whole("beams").unwrap_or(6),
        groups: whole("groups").unwrap_or(1),
        diversity_penalty: real("diversity_penalty").unwrap_or(0.0),
        length_penalty: real("length_penalty").unwrap_or(1.0),
    };
    let method = match whole("beams") {
        Some(_) => beam(),
        None if draws => Method::Sample { top_k, top_p },
        None if m.get_flag("greedy") => Method::Greedy,
        None => beam(),
    };
    // A short caption was asked for, or a long one: what was not said gives way.
    let (min_len, max_len) = (whole("min_len"), whole("max_len"));
    let max_len = max_len.unwrap_or(default.max_len.max(min_len.map_or(0, |n| n.saturating_add(1))));
    let min_len = min_len.unwrap_or(default.min_len.min(max_len.saturating_sub(1)));
    let decoding = Decoding {
        method,
        captions: whole("captions").unwrap_or(default.captions),
        temperature: real("temperature").unwrap_or(default.temperature),
        repetition_penalty: real("repetition_penalty").unwrap_or(default.repetition_penalty),
        min_len,
        max_len,
        prompt: m.get_one::<String>("prompt").cloned(),
        seed: m.get_one::<u64>("seed").copied().unwrap_or(default.seed),
        compat: m.get_one::<String>("compat").map(|_| Compat::OpenClip33),
    };
    decoding.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(decoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Result<Decoding, String> {
        let words = std::iter::once("caption").chain(line.split_whitespace());
        let m = flags(Command::new("caption")).try_get_matches_from(words).map_err(|e| e.to_string())?;
        read(&m).map_err(|e| match e {
            Failure::Usage(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn each_flag_says_its_setting() {
        let default = Decoding::default();
        assert_eq!(said("").unwrap(), default);
        let beam = |beams, groups, diversity_penalty, length_penalty| Decoding {
            method: Method::Beam { beams, groups, diversity_penalty, length_penalty },
            ..default.clone()
        };
        let draw = |top_k, top_p| Decoding { method: Method::Sample { top_k, top_p }, ..default.clone() };
        for (line, wanted) in [
            ("--beams 4", beam(4, 1, 0.0, 1.0)),
            ("--groups 3 --diversity_penalty 0.5", beam(6, 3, 0.5, 1.0)),
            ("--beams 2 --length-penalty=0.8", beam(2, 1, 0.0, 0.8)),
            ("--greedy", Decoding { method: Method::Greedy, ..default.clone() }),
            ("--top_k 5", draw(Some(5), None)),
            ("--top-p 0.9", draw(None, Some(0.9))),
            (
                "--top_k 5 --top_p 0.9 --temperature 0.7",
                Decoding { temperature: 0.7, ..draw(Some(5), Some(0.9)) },
            ),
            ("--repetition_penalty 1.3", Decoding { repetition_penalty: 1.3, ..default.clone() }),
            ("--min_len 0 --max_len 12", Decoding { min_len: 0, max_len: 12, ..default.clone() }),
            ("--max_len 4", Decoding { min_len: 3, max_len: 4, ..default.clone() }),
            ("--min_len 40", Decoding { min_len: 40, max_len: 41, ..default.clone() }),
            ("--captions 3", Decoding { captions: 3, ..default.clone() }),
            ("--prompt two --seed 7", Decoding { prompt: Some("two".into()), seed: 7, ..default.clone() }),
            ("--compat openclip-3.3", Decoding { compat: Some(Compat::OpenClip33), ..default.clone() }),
        ] {
            assert_eq!(said(line).unwrap(), wanted, "{line}");
        }
    }

    #[test]
    fn flags_that_do_not_go_together_are_told() {
        for (line, part) in [
            ("--greedy --beams 3", "cannot be used with"),
            ("--top_k 3 --beams 3", "--top_k and --top_p draw"),
            ("--top_p 0.5 --greedy", "--top_k and --top_p draw"),
            ("--greedy --groups 2", "--groups is of beam search"),
            ("--top_k 2 --length_penalty 2", "--length_penalty is of beam search"),
            ("--beams 4 --groups 3", "divides beams"),
            ("--captions 7", "at most as many as beams"),
            ("--greedy --captions 2", "1 when greedy"),
            ("--top_p 1.5", "at most 1"),
            ("--top_k 0", "from 1"),
            ("--temperature 0", "above 0"),
            ("--min_len 30 --max_len 30", "below max_len"),
            ("--compat other", "openclip-3.3"),
        ] {
            let told = said(line).unwrap_err();
            assert!(told.contains(part), "{line}: {told}");
        }
    }
}
