//! Events as lines for people: of a run followed without a screen, and of the supervisor's log.

use run::events::{Body, Outcome};

/// An event in words; none for those that only the screen shows.
pub fn of(body: &Body) -> Option<String> {
    Some(match body {
        Body::Started(s) => {
            #[allow(clippy::cast_precision_loss)]
            let millions = s.parameters as f64 / 1e6;
            format!(
                "{} ({millions:.1} M parameters, {}) on {}: {} samples, batches of {}, {} steps",
                s.model, s.weights, s.device, s.samples, s.batch_size, s.total_steps
            )
        }
        Body::Resumed { from_step } => format!("going on from step {from_step}"),
        Body::State { state, step, message } => match message {
            Some(message) => format!("{} at step {step}: {message}", state.word()),
            None => format!("{} at step {step}", state.word()),
        },
        Body::Sample(s) => format!(
            "sample {} at step {}: \"{}\" (reference: \"{}\")",
            s.index, s.step, s.caption, s.reference
        ),
        Body::Evaluation(e) => {
            let figures: Vec<String> =
                e.result.as_ref()?.iter().map(|(name, x)| format!("{name} {}", figure(*x))).collect();
            format!("{} at step {}: {}", e.task, e.step, figures.join(", "))
        }
        Body::SettingChanged { changes, applied_at, .. } => {
            let changes: Vec<String> =
                changes.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("applied at step {applied_at}: {}", changes.join(", "))
        }
        Body::Checkpoint { step, path, bytes, seconds, best } => {
            #[allow(clippy::cast_precision_loss)]
            let size = *bytes as f64 / 1e6;
            let best = if *best { ", the best so far" } else { "" };
            format!("checkpoint of step {step}: {path} ({size:.1} MB in {seconds:.1} s{best})")
        }
        Body::Warning(n) => format!("warning: {}", n.message),
        Body::Error(n) => format!("error: {}", n.message),
        Body::Finished { outcome, step, message } => {
            let outcome = match outcome {
                Outcome::Completed => "completed",
                Outcome::Stopped => "stopped",
                Outcome::Failed => "failed",
            };
            let more = message.as_ref().map_or_else(String::new, |m| format!(": {m}"));
            format!("{outcome} at step {step}{more}")
        }
        Body::Heartbeat { .. } | Body::Metrics(_) | Body::Memory(_) | Body::Layout(_) | Body::Unknown => {
            return None;
        }
    })
}

/// Four digits behind the point, none for a count.
fn figure(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() > 1.0 { format!("{x:.0}") } else { format!("{x:.4}") }
}
