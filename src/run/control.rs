//! What a person asks of a live run: one JSON object a line over the run's control socket, answered by one line.
//!
//! The socket lives in a folder of the user's (0700), its path short enough for the system (108 bytes); `control` in
//! the run directory points at it.

use crate::dir::{DirError, RunDir};
use crate::settings::Changes;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// The protocol's version.
pub const VERSION: u32 = 1;

/// Longest line that either side takes, bytes.
pub const LONGEST_LINE: u64 = 1 << 20;

/// One line to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The protocol's version.
    pub v: u32,
    /// Comes back in the answer.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What is asked of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Finish the step, save, end. With `now`: end at once, without saving.
    Stop {
        /// End at once.
        #[serde(default)]
        now: bool,
    },
    /// Wait after this step.
    Pause,
    /// Go on.
    Resume,
    /// Write a checkpoint after this step.
    Save,
    /// Edit settings.
    Set {
        /// The new values.
        changes: Changes,
    },
    /// Say where the run is.
    Status,
}

/// One line from a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The protocol's version.
    pub v: u32,
    /// The call's.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// It took effect when this many steps were done.
    Done {
        /// Optimiser steps done.
        step: u64,
        /// More words, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// It was refused; nothing changed.
    Refused {
        /// What, where, what to do.
        message: String,
    },
}

/// Why a request did not reach a run.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No live supervisor.
    #[error(
        "run '{run}' is not alive on this machine: there is nothing to {what}. Go on with it: cocaptain train --resume {run}"
    )]
    NotAlive {
        /// The run.
        run: String,
        /// The request, as a verb.
        what: &'static str,
    },
    /// The run said no.
    #[error("{0}")]
    Refused(String),
    /// The socket or the answer is not what it should be.
    #[error("run '{run}': the control socket does not answer as it should: {what}")]
    Broken {
        /// The run.
        run: String,
        /// What happened.
        what: String,
    },
}

impl Request {
    /// The request as a verb, for messages.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Stop { .. } => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Save => "save",
            Self::Set { .. } => "set",
            Self::Status => "ask",
        }
    }
}

/// The user's folder for sockets: `$XDG_RUNTIME_DIR/cocaptain`, else `/tmp/cocaptain-<uid>`. Made when absent; refused
/// when it belongs to somebody else or others may enter it.
///
/// # Errors
/// [`DirError::Io`], saying what is wrong with it.
pub fn socket_folder() -> Result<PathBuf, DirError> {
    let uid = rustix::process::getuid().as_raw();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        // 108 bytes hold the whole path of a socket; leave room for its name.
        Some(d) if d.is_dir() && d.as_os_str().len() < 64 => d.join("cocaptain"),
        _ => std::env::temp_dir().join(format!("cocaptain-{uid}")),
    };
    let folder =
        if folder.as_os_str().len() < 80 { folder } else { PathBuf::from(format!("/tmp/cocaptain-{uid}")) };
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(DirError::io(&folder, "cannot be made")(e));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(&folder).map_err(DirError::io(&folder, "cannot be read"))?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
        let why =
            io::Error::new(io::ErrorKind::PermissionDenied, "it must be a folder of yours with mode 0700");
        return Err(DirError::io(&folder, "no safe place for the control socket")(why));
    }
    Ok(folder)
}

/// Asks a run and waits for the answer. Blocking; `patience` covers the whole exchange (a step of training may have to
/// end first).
///
/// # Errors
/// [`ControlError`].
pub fn ask(run: &RunDir, request: Request, patience: Duration) -> Result<Reply, ControlError> {
    let name = run.name();
    let not_alive = || ControlError::NotAlive { run: run.name(), what: request.verb() };
    let broken = |what: String| ControlError::Broken { run: name.clone(), what };
    let mut stream = UnixStream::connect(run.control()).map_err(|_| not_alive())?;
    stream.set_read_timeout(Some(patience)).map_err(|e| broken(e.to_string()))?;
    let mut line = serde_json::to_vec(&Call { v: VERSION, id: 1, request: request.clone() })
        .map_err(|e| broken(e.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|e| broken(e.to_string()))?;
    let mut text = String::new();
    let read = BufReader::new(io::Read::take(stream, LONGEST_LINE)).read_line(&mut text);
    match read {
        Ok(0) => Err(broken("it closed without an answer".to_owned())),
        Ok(_) => {
            let answer: Answer = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
            match answer.reply {
                Reply::Refused { message } => Err(ControlError::Refused(message)),
                done => Ok(done),
            }
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(broken(format!(
                "no answer within {} s; a long step or evaluation may be in the way, the request stays in effect",
                patience.as_secs()
            )))
        }
        Err(e) => Err(broken(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let call = Call { v: 1, id: 3, request: Request::Stop { now: false } };
        let text = serde_json::to_string(&call).unwrap();
        assert_eq!(text, r#"{"v":1,"id":3,"request":{"type":"stop","now":false}}"#);
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), call);
        let answer = Answer { v: 1, id: 3, reply: Reply::Done { step: 7, message: None } };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(text, r#"{"v":1,"id":3,"type":"done","step":7}"#);
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }

    #[test]
    fn a_dead_run_says_so() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path(), "a").unwrap();
        let e = ask(&run, Request::Pause, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(e.contains("nothing to pause") && e.contains("--resume"), "{e}");
    }
}
