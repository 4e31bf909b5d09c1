//! Round ticks and short labels.

/// The nearest step of 1, 2 or 5 times a power of ten that is not below `x`; 1 when `x` is no positive number.
pub fn nice_step(x: f64) -> f64 {
    if !(x.is_finite() && x > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(x.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= x * (1.0 - 1e-9));
    step.filter(|s| s.is_finite() && *s > 0.0).unwrap_or(x)
}

/// The multiples of `step` from `from` to `to`, at most 100.
fn multiples(from: f64, to: f64, step: f64) -> Vec<f64> {
    let first = (from / step - 1e-9).ceil();
    // Counted by whole numbers, so that no rounding error adds up; -0 becomes 0.
    (0..100u8).map(|i| (first + f64::from(i)) * step + 0.0).take_while(|x| *x <= to + step * 1e-9).collect()
}

/// At most about `count` round ticks between `from` and `to`.
pub fn ticks(from: f64, to: f64, count: u16) -> Vec<f64> {
    let span = to - from;
    if !(span.is_finite() && span > 0.0) {
        return Vec::new();
    }
    multiples(from, to, nice_step(span / f64::from(count.max(1))))
}

/// Ticks between two positive ends for a logarithmic axis: powers of ten, with their 2 and 5 fold where these are few;
/// round linear ticks within less than a decade.
pub fn log_ticks(from: f64, to: f64, count: u16) -> Vec<f64> {
    if !(from > 0.0 && to > from && to.is_finite()) {
        return Vec::new();
    }
    let (low, high) = (from.log10(), to.log10());
    let decades = high - low;
    let count = f64::from(count.max(1));
    if decades < 1.0 {
        return ticks(from, to, count as u16);
    }
    let every = nice_step((decades / count).max(1.0)).round();
    let folds: &[f64] = if decades * 3.0 <= count { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = multiples((low / every).floor() * every, high, every);
    let all = powers.into_iter().flat_map(|p| folds.iter().map(move |f| f * 10f64.powf(p)));
    all.filter(|x| *x >= from * (1.0 - 1e-9) && *x <= to * (1.0 + 1e-9)).collect()
}

/// Round ticks of a duration axis in seconds.
pub fn duration_ticks(from: f64, to: f64, count: u16) -> Vec<f64> {
    const STEPS: [f64; 20] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0,
        21_600.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
    ];
    let span = to - from;
    if !(span.is_finite() && span > 0.0) {
        return Vec::new();
    }
    let least = span / f64::from(count.max(1));
    match STEPS.into_iter().find(|s| *s >= least) {
        Some(step) if least > 0.5 => multiples(from, to, step),
        _ => ticks(from, to, count),
    }
}

/// `x` with `digits` behind the point, without trailing zeros and without "-0".
fn trimmed(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A number in at most 7 characters with `digits` (1 to 4) significant digits: "0", "0.35", "12.3k", "4.2e-4", "NaN".
pub fn significant(x: f64, digits: usize) -> String {
    let digits = digits.clamp(1, 4);
    if !x.is_finite() {
        return if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    let size = x.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    // What rounding at this many digits makes of the power of ten.
    let scientific = format!("{:.*e}", digits - 1, x);
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let behind = |p: i32| usize::try_from(digits as i32 - 1 - p).unwrap_or(0);
    match power {
        -3..=3 if power < 3 || digits == 4 || size < 9999.5 && x.fract() == 0.0 => trimmed(x, behind(power)),
        -3..=14 => {
            let (unit, name) = match power {
                ..=5 => (3, "k"),
                6..=8 => (6, "M"),
                9..=11 => (9, "G"),
                _ => (12, "T"),
            };
            format!("{}{name}", trimmed(x / 10f64.powi(unit), behind(power - unit)))
        }
        _ => {
            let mantissa = if mantissa.contains('.') {
                mantissa.trim_end_matches('0').trim_end_matches('.')
            } else {
                mantissa
            };
            format!("{mantissa}e{power}")
        }
    }
}

/// A number in three significant digits, whole numbers below 10,000 in full.
pub fn number(x: f64) -> String {
    significant(x, 3)
}

/// The value of a curve: four significant digits.
pub fn value(x: f64) -> String {
    significant(x, 4)
}

/// Labels for ticks, with the fewest significant digits (at least 2) that tell them apart.
pub fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let mut labels = Vec::new();
    for digits in 2..=4 {
        labels = ticks.iter().map(|t| significant(*t, digits)).collect();
        if labels.windows(2).all(|pair| pair.first() != pair.last()) && exact(ticks, &labels) {
            break;
        }
    }
    labels
}

/// Whether the labels stand at the right distances, which "1.2, 1.3, 1.3" or "1.2, 1.3, 1.5" for 1.25 steps do not.
fn exact(ticks: &[f64], labels: &[String]) -> bool {
    let span = ticks.last().zip(ticks.first()).map_or(0.0, |(b, a)| (b - a).abs());
    ticks.iter().zip(labels).all(|(t, l)| l.parse::<f64>().map_or(true, |v| (v - t).abs() <= span * 1e-3))
}

/// Seconds in at most two units: "45s", "1m30s", "2h", "3d4h"; "0.25s" below ten seconds.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let sign = if seconds <= -0.5 { "-" } else { "" };
    let size = seconds.abs();
    if size < 10.0 && size.fract() != 0.0 {
        return format!("{sign}{}s", trimmed(size, 2));
    }
    let whole = size.round();
    let parts = [
        (whole / 86_400.0).floor(),
        (whole / 3600.0 % 24.0).floor(),
        (whole / 60.0 % 60.0).floor(),
        whole % 60.0,
    ];
    let named: Vec<(f64, &str)> =
        parts.into_iter().zip(["d", "h", "m", "s"]).skip_while(|(n, _)| *n == 0.0).collect();
    let text: String =
        named.iter().take(2).filter(|(n, _)| *n != 0.0).map(|(n, u)| format!("{n}{u}")).collect();
    if text.is_empty() { "0s".to_owned() } else { format!("{sign}{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [
            0.0, -0.0, 1.0, 0.35, 0.042, 0.00042, 12.345, 999.6, 1234.0, 1234.5, 12_345.0, 999_999.0, 4.2e9,
            -3.5e-7,
        ];
        let want = [
            "0", "0", "1", "0.35", "0.042", "4.2e-4", "12.3", "1k", "1234", "1.23k", "12.3k", "1M", "4.2G",
            "-3.5e-7",
        ];
        assert_eq!(shown.map(number), want.map(str::to_owned));
        assert_eq!(
            [2.134_56, 1000.4, 0.000_3, 12_345.0].map(value),
            ["2.135", "1000", "3e-4", "12.35k"].map(str::to_owned)
        );
        assert_eq!(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(value),
            ["NaN", "Inf", "-Inf"].map(str::to_owned)
        );
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(tick_labels(&ticks(2.1, 2.34, 5)), ["2.1", "2.15", "2.2", "2.25", "2.3"]);
        assert_eq!(tick_labels(&[1000.0, 1500.0, 2000.0]), ["1000", "1500", "2000"]);
        assert_eq!(log_ticks(1e-4, 1.0, 5), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]);
        assert_eq!(log_ticks(0.9, 30.0, 6).len(), 5);
        assert!(
            ticks(1.0, 1.0, 4).is_empty()
                && ticks(f64::NAN, 1.0, 4).is_empty()
                && log_ticks(-1.0, 1.0, 3).is_empty()
        );
    }

    #[test]
    fn durations() {
        let shown = [0.0, 45.0, 90.0, 3600.0, 3725.0, 90_000.0, 0.25, 59.9];
        assert_eq!(
            shown.map(duration),
            ["0s", "45s", "1m30s", "1h", "1h2m", "1d1h", "0.25s", "1m"].map(str::to_owned)
        );
        assert_eq!(duration_ticks(0.0, 300.0, 6), [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]);
    }
}
