//! The rank's end of the line to its supervisor: a thread reads, a thread writes, training never waits for either.
//!
//! When the supervisor's end closes, this process ends at once: a rank without a supervisor would be an orphan that
//! nobody sees. Checkpoints are complete or absent, so nothing is lost by that.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use run::events::Body;
use run::link::{FromRank, ToRank};
use thiserror::Error;

/// Why the line cannot be used.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Started by hand.
    #[error(
        "{} is not set: cocaptain-engine is started by `cocaptain`, which gives it a line to report on; try `cocaptain train`",
        run::link::DESCRIPTOR
    )]
    NotGiven,
    /// The variable holds no open descriptor of a socket.
    #[error("{}={value} is no open socket: {why}", run::link::DESCRIPTOR)]
    Descriptor {
        /// What the variable holds.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// The supervisor spoke differently than expected.
    #[error("the supervisor's first line is no job: {0}")]
    Job(String),
}

/// The line. Dropping it sends what is left.
#[derive(Debug)]
pub struct Link {
    requests: Receiver<ToRank>,
    out: Option<Sender<FromRank>>,
    writer: Option<JoinHandle<()>>,
    /// Whether this rank speaks for all.
    first: std::cell::Cell<bool>,
}

impl Link {
    /// Takes the descriptor that the supervisor left, and says hello.
    ///
    /// # Errors
    /// [`LinkError`] when this process was not started by a supervisor.
    pub fn open() -> Result<Self, LinkError> {
        let value = std::env::var(run::link::DESCRIPTOR).map_err(|_| LinkError::NotGiven)?;
        let bad = |why: String| LinkError::Descriptor { value: value.clone(), why };
        let fd: i32 = value.parse().map_err(|_| bad("not a number".to_owned()))?;
        let is_socket = std::fs::read_link(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        if fd < 3 || !is_socket {
            return Err(bad("no such socket is open".to_owned()));
        }
        // SAFETY: the descriptor is open (just seen), inherited for this very purpose, and owned by nothing else here.
        let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let reading = stream.try_clone().map_err(|e| bad(e.to_string()))?;
        Ok(Self::over(reading, stream, Box::new(end_process)))
    }

    fn over(reading: UnixStream, writing: UnixStream, at_end: Box<dyn Fn() + Send>) -> Self {
        let (to_training, requests) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reading).lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(said) => drop(to_training.send(said)),
                    // fd 2 is this rank's log.
                    Err(e) => run::note!("a line of the supervisor's makes no sense ({e}): {line}"),
                }
            }
            at_end();
        });
        let (out, lines) = channel::<FromRank>();
        let writer = std::thread::spawn(move || write_lines(writing, &lines));
        let link = Self { requests, out: Some(out), writer: Some(writer), first: std::cell::Cell::new(true) };
        link.say(FromRank::Hello { build: run::BUILD_ID.to_owned() });
        link
    }

    /// Says that this rank is not the first: what all ranks know alike is left to that one.
    pub fn leave_common_words(&self) {
        self.first.set(false);
    }

    /// Says something to the supervisor; returns at once.
    pub fn say(&self, what: FromRank) {
        let common = match &what {
            FromRank::Event { body: Body::Warning(notice) } => notice.kind != "broken_record",
            FromRank::Event { .. } | FromRank::Done { .. } | FromRank::Refused { .. } => true,
            _ => false,
        };
        if common && !self.first.get() {
            return;
        }
        if let Some(out) = &self.out {
            // The writer ends only with the process or the line.
            let _ = out.send(what);
        }
    }

    /// Reports something for `events.jsonl`.
    pub fn event(&self, body: Body) {
        self.say(FromRank::Event { body });
    }

    /// Waits for the job.
    ///
    /// # Errors
    /// [`LinkError::Job`] when something else comes first.
    pub fn job(&self) -> Result<run::link::Job, LinkError> {
        match self.requests.recv() {
            Ok(ToRank::Job(job)) => Ok(*job),
            Ok(other) => Err(LinkError::Job(format!("{other:?}"))),
            Err(_) => Err(LinkError::Job("the line was closed".to_owned())),
        }
    }

    /// A request that came meanwhile.
    pub fn request(&self) -> Option<ToRank> {
        self.requests.try_recv().ok()
    }

    /// Waits for a request; `None` when the line has ended.
    pub fn next(&self) -> Option<ToRank> {
        self.requests.recv().ok()
    }

    /// Waits at most so long for a request.
    pub fn wait(&self, patience: std::time::Duration) -> Option<ToRank> {
        self.requests.recv_timeout(patience).ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.out = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_lines(mut stream: UnixStream, lines: &Receiver<FromRank>) {
    for said in lines {
        let written = serde_json::to_vec(&said).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            stream.write_all(&line)
        });
        if let Err(e) = written {
            run::note!("the supervisor does not listen: {e}");
            return;
        }
    }
}

/// Ends this process without the exit handlers of libtorch, which may wait for threads that still compute.
fn end_process() {
    run::note!("the supervisor is gone: this rank ends");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_go_both_ways_and_the_end_is_seen() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (ended, end) = channel();
        let link = Link::over(theirs.try_clone().unwrap(), theirs, Box::new(move || ended.send(()).unwrap()));
        let mut lines = BufReader::new(ours.try_clone().unwrap()).lines();
        let hello: FromRank = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(hello, FromRank::Hello { build: run::BUILD_ID.to_owned() });
        link.say(FromRank::Step { step: 3 });
        assert!(lines.next().unwrap().unwrap().contains("\"step\":3"));

        let request = ToRank::Request { id: 1, requested: 0.0, request: run::control::Request::Pause };
        let mut ours = ours;
        writeln!(ours, "rubbish\n{}", serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(link.wait(Duration::from_secs(10)), Some(request));
        ours.shutdown(std::net::Shutdown::Both).unwrap();
        end.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
