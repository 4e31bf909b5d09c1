//! Gets a large file over HTTP and goes on where it was cut off.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::{FetchError, Options, Phase, io_error};

/// Attempts without a single new byte before it is given up.
const ATTEMPTS: u32 = 5;
/// A connection that goes on for longer is made anew: one that has died unnoticed does not hang for ever.
const CONNECTION: Duration = Duration::from_secs(300);
/// What is left free on the disk.
const SPARE: u64 = 1 << 30;

/// Gets the archive into `part`, as far as it is not there. The lock on it is held by what comes back.
pub(super) fn download(part: &Path, options: &Options<'_>) -> Result<File, FetchError> {
    let io = |source| FetchError::Io { path: part.to_path_buf(), source };
    let mut file = File::options().create(true).read(true).append(true).open(part).map_err(io_error(part))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| FetchError::Busy(part.to_path_buf()))?;
    let mut validator: Option<String> = None;
    let mut failures = 0;
    let mut room = false;
    loop {
        options.cancelled()?;
        let have = file.seek(SeekFrom::End(0)).map_err(io)?;
        let fail = |why: String| FetchError::Network { url: options.url.clone(), why, kept: have };
        let answer = ask(options, have, validator.as_deref());
        let mut response = match answer {
            Ok(response) => response,
            Err(why) => {
                failures += 1;
                if failures >= ATTEMPTS {
                    return Err(fail(why));
                }
                wait(failures, options)?;
                continue;
            }
        };
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => match range(&response) {
                Some((from, total)) if from == have => total,
                // Another piece than was asked for: from the start.
                _ => {
                    failures += 1;
                    if failures >= ATTEMPTS {
                        return Err(fail("the server sends other pieces than were asked for".to_owned()));
                    }
                    file.set_len(0).map_err(io)?;
                    continue;
                }
            },
            // It knows no ranges, or the file there is another one by now.
            StatusCode::OK => {
                file.set_len(0).map_err(io)?;
                length(&response)
            }
            // What is asked for begins at the end: all is there, or too much.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let whole = range(&response).map(|(_, total)| total);
                if have > 0 && whole == Some(have) {
                    return Ok(file);
                }
                failures += 1;
                if failures >= ATTEMPTS {
                    return Err(fail("the server has a shorter file than what has arrived".to_owned()));
                }
                file.set_len(0).map_err(io)?;
                continue;
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                failures += 1;
                if failures >= ATTEMPTS {
                    return Err(fail(format!("the server answers {status}")));
                }
                wait(failures, options)?;
                continue;
            }
            status => return Err(FetchError::Refused { url: options.url.clone(), status: status.as_u16() }),
        };
        let start = file.seek(SeekFrom::End(0)).map_err(io)?;
        if !room && total > 0 {
            room_for(part, total, start, options)?;
            room = true;
        }
        validator = tag(&response).or(validator);
        let cut = take(response.body_mut(), &mut file, start, total, options)?;
        file.sync_data().map_err(io)?;
        let now = file.seek(SeekFrom::End(0)).map_err(io)?;
        if total > 0 && now > total {
            file.set_len(0).map_err(io)?;
            return Err(fail(format!("more than the {total} bytes that it said it had")));
        }
        match cut {
            None if total == 0 || now == total => return Ok(file),
            cut => {
                failures = if now > start { 0 } else { failures + 1 };
                if failures >= ATTEMPTS {
                    let why = cut.unwrap_or_else(|| format!("it ends after {now} of {total} bytes"));
                    return Err(FetchError::Network { url: options.url.clone(), why, kept: now });
                }
                wait(failures, options)?;
            }
        }
    }
}

/// Asks for what follows the first `have` bytes.
fn ask(options: &Options<'_>, have: u64, validator: Option<&str>) -> Result<Response<Body>, String> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(CONNECTION))
        .user_agent(concat!("cocaptain/", env!("CARGO_PKG_VERSION")));
    let agent = Agent::new_with_config(config.build());
    // Compressed on the way, places would mean something else.
    let mut request = agent.get(&options.url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
        if let Some(tag) = validator {
            request = request.header(header::IF_RANGE, tag);
        }
    }
    request.call().map_err(|error| error.to_string())
}

/// The first byte and the whole length of `Content-Range: bytes 5-9/10` or `bytes */10`.
fn range(response: &Response<Body>) -> Option<(u64, u64)> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (piece, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let from = piece.split_once('-').map_or(Some(0), |(from, _)| from.trim().parse().ok())?;
    Some((from, total.trim().parse().ok()?))
}

fn length(response: &Response<Body>) -> u64 {
    let text = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A strong mark of the file's state: a piece of another state must not be joined to this one.
fn tag(response: &Response<Body>) -> Option<String> {
    let tag = response.headers().get(header::ETAG)?.to_str().ok()?;
    (!tag.starts_with("W/")).then(|| tag.to_owned())
}

/// Whether the disk has room for the rest of the archive and for what it unpacks to, which is as much.
fn room_for(part: &Path, total: u64, have: u64, options: &Options<'_>) -> Result<(), FetchError> {
    let folder = part.parent().unwrap_or(Path::new("."));
    let needed = total.saturating_sub(have).saturating_add(total).saturating_add(SPARE);
    let free = (options.free)(folder).map_err(io_error(folder))?;
    if free < needed {
        return Err(FetchError::NoRoom { folder: folder.to_path_buf(), needed, free });
    }
    Ok(())
}

/// Writes what comes; gives the reason when it is cut off.
fn take(
    body: &mut Body,
    file: &mut File,
    start: u64,
    total: u64,
    options: &Options<'_>,
) -> Result<Option<String>, FetchError> {
    let mut from = body.as_reader();
    let mut buffer = vec![0; 1 << 18];
    let mut done = start;
    loop {
        options.cancelled()?;
        match from.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default();
                file.write_all(piece)
                    .map_err(|source| FetchError::Io { path: options.folder.clone(), source })?;
                done += length as u64;
                (options.progress)(Phase::Download, done, total);
                // A server that sends without end fills no disk.
                if total > 0 && done > total {
                    return Ok(None);
                }
            }
            Err(error) => return Ok(Some(error.to_string())),
        }
    }
}

/// Waits before the next attempt, longer each time.
fn wait(failures: u32, options: &Options<'_>) -> Result<(), FetchError> {
    let pieces = 1u32 << failures.min(6);
    for _ in 0..pieces {
        options.cancelled()?;
        std::thread::sleep(Duration::from_millis(if cfg!(test) { 1 } else { 250 }));
    }
    Ok(())
}
