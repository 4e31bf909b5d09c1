//! `cocaptain doctor`: what works on this machine, what does not, and how to mend it.

mod engine;
mod machine;
mod terminal;

use serde::Serialize;
use serde_json::json;

use super::{Done, Failure, print};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It works.
    Good,
    /// It works, with less than there could be.
    Warning,
    /// Runs cannot work so.
    Bad,
    /// It is not needed here.
    Absent,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into(), fix: None }
    }

    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Good, found)
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Looks, and prints what it found. Fails when runs cannot work.
pub fn doctor(as_json: bool) -> Done {
    let (mut checks, report) = engine::checks();
    checks.extend(machine::checks());
    checks.extend(terminal::checks());
    let good = checks.iter().all(|c| c.verdict != Verdict::Bad);
    if as_json {
        let report = json!({
            "good": good,
            "version": run::VERSION,
            "build": run::BUILD_ID,
            "engine": report,
            "checks": checks,
        });
        print(&format!("{report}\n"))?;
    } else {
        print(&lines(&checks))?;
    }
    if good { Ok(()) } else { Err(Failure::Silent) }
}

fn lines(checks: &[Check]) -> String {
    let mut text = format!("cocaptain {} (build {})\n", run::VERSION, run::BUILD_ID);
    for check in checks {
        let word = match check.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "PROBLEM",
            Verdict::Absent => "n/a",
        };
        text += &format!("{:<10} {word:<8} {}\n", check.name, run::escape::line(&check.found));
        if let Some(fix) = &check.fix {
            text += &format!("{:<10} {:<8} -> {}\n", "", "", run::escape::line(fix));
        }
    }
    let count = |v: Verdict| checks.iter().filter(|c| c.verdict == v).count();
    let (bad, warnings) = (count(Verdict::Bad), count(Verdict::Warning));
    text += &match (bad, warnings) {
        (0, 0) => "all well\n".to_owned(),
        (0, n) => format!("runs work; {n} to look at\n"),
        (n, _) => format!("{n} of these must be mended before a run can work\n"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let (mut all, _) = engine::checks();
        all.extend(machine::checks());
        all.extend(terminal::checks());
        for check in &all {
            let needs = matches!(check.verdict, Verdict::Warning | Verdict::Bad);
            assert!(!needs || check.fix.is_some(), "{check:?} has no fix");
        }
        let names: Vec<_> = all.iter().map(|c| c.name).collect();
        for name in
            ["engine", "CUDA", "NCCL", "disk", "files", "memory", "cores", "sockets", "colours", "text"]
        {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        let text = lines(&[Check::new("disk", Verdict::Bad, "full\x1b[2J").fix("remove something")]);
        assert!(text.contains("PROBLEM") && text.contains("-> remove") && !text.contains('\x1b'), "{text}");
    }
}
