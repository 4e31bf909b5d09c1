//! Tags of other programs and the names of our curves.

/// The name of a tag's curve. What open_clip writes and what our own event files say become our names; `task/figure` of
/// our own evaluations becomes `task.figure`; every other tag is its own name.
pub fn curve_name(tag: &str) -> String {
    const SAME: [&str; 8] = [
        "loss",
        "contrastive_loss",
        "caption_loss",
        "learning_rate",
        "logit_scale",
        "grad_norm",
        "samples_per_second",
        "epoch",
    ];
    const TASKS: [&str; 4] = ["held_out", "zero_shot", "retrieval", "caption"];
    if let Some(name) = tag.strip_prefix("train/") {
        let known = match name {
            "lr" => "learning_rate",
            "scale" => "logit_scale",
            "data_time" => "data_seconds",
            "batch_time" => "step_seconds",
            "data_seconds" | "step_seconds" => name,
            name if SAME.contains(&name) || name.starts_with("learning_rate.") => name,
            _ => return tag.to_owned(),
        };
        return known.to_owned();
    }
    match tag.split_once('/') {
        Some((task, figure)) if TASKS.contains(&task) => format!("{task}.{figure}"),
        _ => tag.to_owned(),
    }
}
