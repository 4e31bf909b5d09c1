//! `cocaptain doctor`: what works on this machine, and what does not.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Done, Failure, print};

/// Looks, and prints what it found. Fails when runs cannot work.
pub fn doctor(as_json: bool) -> Done {
    let (engine, good) = engine();
    let free = run::dir::free_bytes(Path::new(".")).ok();
    let sockets = run::control::socket_folder();
    let good = good && sockets.is_ok();
    let report = json!({
        "good": good,
        "version": run::VERSION,
        "build": run::BUILD_ID,
        "engine": engine,
        "free_bytes": free,
        "control_sockets": sockets.as_ref().map_or_else(|e| json!({ "problem": e.to_string() }), |p| json!({ "path": p })),
        "terminal": {
            "is_terminal": std::io::stdout().is_terminal(),
            "term": std::env::var("TERM").ok(),
            "colour": std::env::var("COLORTERM").ok(),
        },
    });
    if as_json {
        print(&format!("{report}\n"))?;
    } else {
        print(&lines(&report))?;
    }
    if good { Ok(()) } else { Err(Failure::Silent) }
}

/// Asks the engine about itself; says whether it can be used.
fn engine() -> (Value, bool) {
    let problem = |path: Option<&Path>, what: String| (json!({ "path": path, "problem": what }), false);
    let path = match crate::engine::path::find() {
        Ok(path) => path,
        Err(e) => return problem(None, e),
    };
    let output =
        Command::new(&path).arg("doctor").env_remove(run::link::DESCRIPTOR).stdin(Stdio::null()).output();
    let output = match output {
        Ok(output) => output,
        Err(e) => return problem(Some(&path), format!("cannot be started: {e}")),
    };
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().last().unwrap_or("it says nothing");
        return problem(Some(&path), format!("does not work ({}): {words}", output.status));
    };
    if report["build"] != run::BUILD_ID {
        return problem(
            Some(&path),
            "was built from other sources than cocaptain: run `make build`".to_owned(),
        );
    }
    (json!({ "path": path, "report": report }), true)
}

fn lines(report: &Value) -> String {
    let word = |v: &Value| match v {
        Value::String(s) => run::escape::line(s).into_owned(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    let engine = &report["engine"];
    let mut text = format!("cocaptain  {} (build {})\n", word(&report["version"]), word(&report["build"]));
    match engine.get("problem") {
        Some(problem) => {
            text += &format!("engine     NOT USABLE: {}: {}\n", word(&engine["path"]), word(problem))
        }
        None => {
            let said = &engine["report"];
            text += &format!("engine     {}, the same build\n", word(&engine["path"]));
            text += &format!("libtorch   {}, {} threads\n", word(&said["libtorch"]), word(&said["threads"]));
            let cuda = &said["cuda"];
            let why = cuda.get("why").map_or_else(String::new, |why| format!(": {}", word(why)));
            text += &format!("CUDA       {} devices{why}\n", word(&cuda["devices"]));
        }
    }
    let free = report["free_bytes"]
        .as_u64()
        .map_or_else(|| "unknown".to_owned(), |b| format!("{} MB", b / 1_000_000));
    text += &format!("disk       {free} free here\n");
    let sockets = &report["control_sockets"];
    text += &match sockets.get("problem") {
        Some(problem) => format!("sockets    NOT USABLE: {}\n", word(problem)),
        None => format!("sockets    {}\n", word(&sockets["path"])),
    };
    let terminal = &report["terminal"];
    text += &format!(
        "terminal   {}, TERM {}, COLORTERM {}\n",
        if terminal["is_terminal"] == true { "yes" } else { "no" },
        word(&terminal["term"]),
        word(&terminal["colour"])
    );
    text
}
