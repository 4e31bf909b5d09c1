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
    let decoding = Decoding {
        method,
        captions: whole("captions").unwrap_or(default.captions),
        temperature: real("temperature").unwrap_or(default.temperature),
        repetition_penalty: real("repetition_penalty").unwrap_or(default.repetition_penalty),
        min_len: whole("min_len").unwrap_or(default.min_len),
        max_len: whole("max_len").unwrap_or(default.max_len),
        prompt: m.get_one::<String>("prompt").cloned(),
        seed: m.get_one::<u64>("seed").copied().unwrap_or(default.seed),
        compat: m.get_one::<String>("compat").map(|_| Compat::OpenClip33),
    };
    decoding.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(decoding)
}
