//! What stands out in a run's figures: outliers of loss and gradient norm, values that are not finite, stalls, hunger for
//! data, memory near its limit. Pure; each is told once until it is over.

use run::events::{Memory, Metrics};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Values that an outlier is measured against, how many there must be, and how many standard deviations above their mean
/// it lies (the scheme of llm.c's outlier detector).
const WINDOW: usize = 128;
const LEAST: usize = 32;
const DEVIATIONS: f64 = 6.0;

/// Steps within which another outlier of the same curve is the same alert.
const APART: u64 = 32;

/// Most alerts kept.
const KEEP: usize = 500;

/// The share of a step that may be spent waiting for data, and for how many points in a row.
const HUNGRY: f64 = 0.3;
const HUNGRY_POINTS: u32 = 20;

/// The share of a device's memory from which it is nearly full, and below which it is well again.
const FULL: f64 = 0.95;
const WELL: f64 = 0.90;

/// A run that does no step for so many of its steps, and at least so many seconds, stalls.
const STALL_STEPS: f64 = 20.0;
const STALL_SECONDS: f64 = 60.0;

/// Something that stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Optimiser steps done.
    pub step: u64,
    /// When: seconds since the Unix epoch.
    pub t: f64,
    /// What, and what to make of it.
    pub text: String,
    /// Whether the run is in danger.
    pub error: bool,
}

/// All alerts of a run, and what the next ones depend on.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Oldest first.
    pub all: Vec<Alert>,
    /// Those that nobody was told of yet.
    pub fresh: Vec<Alert>,
    windows: BTreeMap<String, Window>,
    hungry: u32,
    full: BTreeSet<u32>,
    last_step: Option<(f64, f64, u64)>,
    stalled: bool,
}

#[derive(Debug, Default)]
struct Window {
    values: VecDeque<f64>,
    last: Option<u64>,
    broken: bool,
}

impl Alerts {
    /// Takes in a value of a curve; only loss and gradient norm are looked at.
    pub fn value(&mut self, name: &str, step: u64, t: f64, value: f64) {
        if name != "loss" && name != "grad_norm" {
            return;
        }
        let window = self.windows.entry(name.to_owned()).or_default();
        if !value.is_finite() {
            if !std::mem::replace(&mut window.broken, true) {
                let text = format!(
                    "{name} is not finite at step {step}: a lower learning_rate or max_grad_norm may help"
                );
                self.tell(Alert { step, t, text, error: true });
            }
            return;
        }
        window.broken = false;
        #[allow(clippy::cast_precision_loss)]
        let n = window.values.len() as f64;
        let mean = window.values.iter().sum::<f64>() / n.max(1.0);
        let variance = window.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1.0);
        let z = (value - mean) / variance.sqrt();
        let fresh = window.last.is_none_or(|last| step.saturating_sub(last) > APART || step < last);
        let outlier = window.values.len() >= LEAST && z.is_finite() && z > DEVIATIONS;
        window.values.push_back(value);
        if window.values.len() > WINDOW {
            window.values.pop_front();
        }
        if outlier && fresh {
            window.last = Some(step);
            let shown = super::chart::scale::value(value);
            let text = format!("{name} {shown} at step {step} is {z:.0} deviations above the {} before", n);
            self.tell(Alert { step, t, text, error: false });
        }
    }

    /// Takes in a point of all curves.
    pub fn metrics(&mut self, t: f64, m: &Metrics) {
        self.value("loss", m.step, t, m.loss);
        self.value("grad_norm", m.step, t, m.grad_norm);
        self.last_step = Some((t, m.step_seconds, m.step));
        self.stalled = false;
        if m.data_seconds > HUNGRY * m.step_seconds {
            self.hungry = self.hungry.saturating_add(1);
            if self.hungry == HUNGRY_POINTS {
                let share = m.data_seconds / m.step_seconds * 100.0;
                let text = format!(
                    "{share:.0} % of a step is waiting for data since {HUNGRY_POINTS} points: more dataloader_num_workers, or smaller pictures"
                );
                self.tell(Alert { step: m.step, t, text, error: false });
            }
        } else {
            self.hungry = 0;
        }
    }

    /// Takes in a report of a rank's memory.
    #[allow(clippy::cast_precision_loss)]
    pub fn memory(&mut self, t: f64, m: &Memory) {
        let (Some(used), Some(total)) = (m.device_used, m.device_total.filter(|n| *n > 0)) else { return };
        let share = used as f64 / total as f64;
        if share > FULL && self.full.insert(m.rank) {
            let text = format!(
                "rank {}: {:.0} % of {}'s memory is in use; accumulation_steps or recompute take less",
                m.rank,
                share * 100.0,
                m.device
            );
            self.tell(Alert { step: m.step, t, text, error: false });
        } else if share < WELL {
            self.full.remove(&m.rank);
        }
    }

    /// Looks at the clock; `running` when the run says that it does steps.
    pub fn clock(&mut self, now: f64, running: bool) {
        let Some((t, seconds, step)) = self.last_step.filter(|_| running && !self.stalled) else { return };
        let silent = now - t;
        if silent > STALL_SECONDS.max(STALL_STEPS * seconds) {
            self.stalled = true;
            let text = format!(
                "no step since step {step}, {} ago, though the run says it is running",
                super::format::span(silent)
            );
            self.tell(Alert { step, t: now, text, error: false });
        }
    }

    /// What was said of later steps is void.
    pub fn rewind(&mut self, step: u64) {
        self.all.retain(|a| a.step <= step);
        self.fresh.retain(|a| a.step <= step);
        self.windows.clear();
        self.last_step = None;
    }

    fn tell(&mut self, alert: Alert) {
        self.fresh.push(alert.clone());
        self.all.push(alert);
        if self.all.len() > KEEP {
            self.all.drain(..KEEP / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: u64, loss: f64) -> Metrics {
        Metrics { step, loss, grad_norm: 1.0, step_seconds: 0.5, data_seconds: 0.01, ..Metrics::default() }
    }

    #[test]
    fn an_outlier_is_told_once() {
        let mut a = Alerts::default();
        for step in 1..200 {
            a.metrics(step as f64, &metrics(step, 2.0 + (step % 5) as f64 * 0.01));
        }
        assert!(a.all.is_empty(), "{:?}", a.all);
        a.metrics(200.0, &metrics(200, 9.0));
        a.metrics(201.0, &metrics(201, 99.0));
        assert_eq!(a.all.len(), 1);
        assert!(a.all[0].text.starts_with("loss 9 at step 200"), "{}", a.all[0].text);
        // A fall is no alert.
        a.metrics(300.0, &metrics(300, 0.1));
        assert_eq!(a.all.len(), 1);
        a.rewind(150);
        assert!(a.all.is_empty());
    }

    #[test]
    fn what_is_to_be_told_does_not_depend_on_how_many_are_kept() {
        let mut a = Alerts::default();
        for step in 0..=KEEP as u64 {
            a.fresh.clear();
            a.tell(Alert { step, t: 0.0, text: String::new(), error: false });
        }
        assert!(a.all.len() < KEEP && a.fresh.len() == 1, "{} {}", a.all.len(), a.fresh.len());
        // What was said of steps that were done again is void, told or not.
        a.rewind(5);
        assert!(a.fresh.is_empty());
    }

    #[test]
    fn not_finite_hunger_memory_and_stalls() {
        let mut a = Alerts::default();
        a.metrics(1.0, &metrics(1, f64::NAN));
        a.metrics(2.0, &metrics(2, f64::NAN));
        assert!(a.all.len() == 1 && a.all[0].error);
        for step in 3..60 {
            a.metrics(step as f64, &Metrics { data_seconds: 0.4, ..metrics(step, 1.0) });
        }
        assert_eq!(a.all.len(), 2);
        let memory =
            |used| Memory { device_used: Some(used), device_total: Some(100), step: 60, ..Memory::default() };
        for used in [94, 97, 99, 92, 97, 80, 96] {
            a.memory(60.0, &memory(used));
        }
        assert_eq!(a.all.len(), 4, "{:?}", a.all);
        a.clock(100.0, true);
        assert_eq!(a.all.len(), 4);
        a.clock(200.0, false);
        a.clock(200.0, true);
        a.clock(300.0, true);
        assert!(a.all.len() == 5 && a.all[4].text.contains("no step since step 59"), "{:?}", a.all[4]);
    }
}
