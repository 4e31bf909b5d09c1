//! The control socket: people's requests come in, answers go out. Nobody here can hold up a run.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use run::control::{Answer, Call, LONGEST_LINE, Reply, VERSION};
use run::dir::{DirError, RunDir};

use super::Input;

/// Callers served at a time; more are turned away.
const MOST_CALLERS: usize = 64;

/// How long a caller may take to read an answer, or to finish a line, before it is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// The run's socket; removed when dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    link: PathBuf,
    /// Answers that are on their way to a caller.
    answering: Arc<AtomicUsize>,
}

impl Socket {
    /// Opens the socket of a run whose lock is held, replacing a stale one, and serves it on threads.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(run: &RunDir, to_loop: Sender<Input>) -> Result<Self, DirError> {
        // The run's name is for people who look into the folder, the pid for runs of the same name elsewhere.
        let name: String = run.name().chars().take(16).collect();
        let folder = run::control::socket_folder()?;
        let path = folder.join(format!("{name}-{}", std::process::id()));
        let io = |what: &'static str| {
            let path = path.clone();
            move |source| DirError::Io { path, what, source }
        };
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(io("the control socket cannot be opened"))?;
        let link = run.control();
        if let Some(stale) = std::fs::read_link(&link).ok().filter(|p| p.parent() == Some(folder.as_path())) {
            // The lock is ours: whoever left this link is gone. Nothing outside our folder is touched.
            let _ = std::fs::remove_file(stale);
        }
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&path, &link)
            .map_err(io("the link to the control socket cannot be made"))?;
        let callers = Arc::new(AtomicUsize::new(0));
        let answering = Arc::new(AtomicUsize::new(0));
        let counter = answering.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !is_mine(&stream) || callers.load(Ordering::SeqCst) >= MOST_CALLERS {
                    continue;
                }
                callers.fetch_add(1, Ordering::SeqCst);
                let (to_loop, callers, answering) = (to_loop.clone(), callers.clone(), counter.clone());
                std::thread::spawn(move || {
                    serve(stream, &to_loop, &answering);
                    callers.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { path, link, answering })
    }

    /// Gives answers on their way a moment to arrive: the process ends after this.
    pub fn drain(&self) {
        let start = Instant::now();
        while self.answering.load(Ordering::SeqCst) > 0 && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the caller is the user that this run belongs to.
fn is_mine(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|who| who.uid == rustix::process::getuid())
}

/// Answers one caller's lines until it goes, is too slow, or makes no sense.
fn serve(mut stream: UnixStream, to_loop: &Sender<Input>, answering: &AtomicUsize) {
    let timeouts =
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let Ok(reading) = timeouts.and_then(|()| stream.try_clone()) else { return };
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = String::new();
        match reading.by_ref().take(LONGEST_LINE).read_line(&mut line) {
            Ok(n) if n > 0 && line.ends_with('\n') => {}
            _ => return,
        }
        answering.fetch_add(1, Ordering::SeqCst);
        let (id, reply) = match serde_json::from_str::<Call>(&line) {
            Err(e) => (0, refused(format!("this is no request: {e}"))),
            Ok(call) if call.v != VERSION => {
                let message =
                    format!("the run speaks version {VERSION} of the protocol, you speak {}", call.v);
                (call.id, refused(message))
            }
            Ok(call) => {
                let (answer, reply) = channel();
                let ended = || refused("the run ended before it could answer".to_owned());
                let asked = to_loop.send(Input::Request { request: call.request, answer });
                (call.id, asked.map_or_else(|_| ended(), |()| reply.recv().unwrap_or_else(|_| ended())))
            }
        };
        let written = serde_json::to_vec(&Answer { v: VERSION, id, reply }).map_err(std::io::Error::from);
        let written = written.and_then(|mut text| {
            text.push(b'\n');
            stream.write_all(&text)
        });
        answering.fetch_sub(1, Ordering::SeqCst);
        if written.is_err() {
            return;
        }
    }
}

pub(super) fn refused(message: String) -> Reply {
    Reply::Refused { message }
}
