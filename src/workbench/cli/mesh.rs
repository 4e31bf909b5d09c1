//! What a mesh will cost, as comments of a TOML file.

use run::settings::Settings;

use super::Failure;
use crate::forecast::{self, Forecast};
use crate::tui::format::bytes;

/// Ranks that are printed; the others are like them.
const SHOWN: usize = 64;

/// Each rank's place, samples and bytes.
///
/// # Errors
/// Ranks that cannot be arranged so, or more of them than there are heads.
pub fn forecast(settings: &Settings) -> Result<String, Failure> {
    let Forecast { degrees, stage, rows, parameters, ranks, unknown, no_activations, .. } =
        forecast::of(settings).map_err(Failure::Failed)?;
    let word = if stage.word().is_empty() { "nothing sharded" } else { stage.word() };
    let mut text = format!(
        "# mesh: {} ranks = data parallel {} x sharding {} x tensor parallel {}, {word}\n",
        degrees.ranks(),
        degrees.data_parallel,
        degrees.sharding,
        degrees.tensor_parallel
    );
    if let Some(why) = unknown {
        return Ok(text + &format!("#   bytes: n/a: {}\n", run::escape::line(&why)));
    }
    text += &format!(
        "#   {parameters} parameters; predicted bytes of a rank between two steps, and what forward leaves for backward:\n"
    );
    for r in ranks.iter().take(SHOWN) {
        let (at, b) = (r.at, r.bytes);
        text += &format!(
            "#   rank {} (node {}, data {}, shard {}, tensor {}): samples {}..{}; parameters {}, gradients {}, \
             optimiser {}, together {}; activations {}\n",
            r.rank,
            r.node,
            at.data_parallel,
            at.sharding,
            at.tensor_parallel,
            r.first_row,
            r.first_row + rows,
            bytes(b.parameters),
            bytes(b.gradients),
            bytes(b.optimiser),
            bytes(b.sum()),
            r.activations.map_or_else(|| "n/a".to_owned(), bytes)
        );
    }
    if let Some(why) = no_activations {
        text += &format!(
            "#   activations: n/a, how long captions are is not known: {}\n",
            run::escape::line(&why)
        );
    }
    if ranks.len() > SHOWN {
        text += &format!("#   ... and {} more ranks\n", ranks.len() - SHOWN);
    }
    Ok(text)
}
