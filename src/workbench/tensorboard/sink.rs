//! Writes what a run's events say, in a thread of its own: a slow disk or a large picture holds nobody up.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use prost::Message;
use run::dir::RunDir;
use run::events::{Body, Metrics, Sample};

use super::event::{Event, Value};
use super::record::Writer;

/// Events that may wait for the disk; more are left out of the files, never out of the run.
const MOST_WAITING: usize = 10_000;

/// How long the end of a run waits for the last records.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest side of a sample's picture, pixels.
const PICTURE_SIDE: u32 = 256;

/// Where a run's events go to become event files.
#[derive(Debug)]
pub struct Sink {
    to_writer: Option<SyncSender<(f64, Body)>>,
    written: Receiver<()>,
    dropped: u64,
}

impl Sink {
    /// Starts writing. The file is made with its first record.
    pub fn open(run: &RunDir) -> Self {
        let (to_writer, bodies) = sync_channel(MOST_WAITING);
        let (done, written) = sync_channel::<()>(0);
        let run = run.clone();
        std::thread::spawn(move || {
            write(&run, &bodies);
            drop(done);
        });
        Self { to_writer: Some(to_writer), written, dropped: 0 }
    }

    /// Takes an event that happened at `t`, seconds since the Unix epoch.
    pub fn take(&mut self, t: f64, body: &Body) {
        if !matters(body) {
            return;
        }
        let Some(to_writer) = &self.to_writer else { return };
        if let Err(TrySendError::Full(_)) = to_writer.try_send((t, body.clone())) {
            self.dropped += 1;
            if self.dropped == 1 {
                run::note!("TensorBoard's event files cannot keep up: events are left out of them");
            }
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.to_writer.take());
        // The writer's end closes this channel.
        if self.written.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            run::note!("TensorBoard's event files are not complete: the disk did not take them in time");
        }
    }
}

fn matters(body: &Body) -> bool {
    matches!(
        body,
        Body::Started(_) | Body::Resumed { .. } | Body::Metrics(_) | Body::Sample(_) | Body::Evaluation(_)
    )
}

fn write(run: &RunDir, bodies: &Receiver<(f64, Body)>) {
    let folder = run.tensorboard();
    let mut file = None;
    let mut told = false;
    for (t, body) in bodies {
        let Some(event) = event_of(run, t, &body) else { continue };
        let result = match &mut file {
            Some(writer) => append(writer, &event),
            None => create(&folder, t).and_then(|mut writer| {
                append(&mut writer, &event)?;
                file = Some(writer);
                Ok(())
            }),
        };
        match result {
            Ok(()) => told = false,
            Err(e) if !told => {
                told = true;
                run::note!("{}: an event cannot be written: {e}", folder.display());
            }
            Err(_) => {}
        }
    }
}

/// A new file, named as TensorBoard expects it; names of later ones sort behind it.
fn create(folder: &Path, t: f64) -> std::io::Result<Writer> {
    std::fs::create_dir_all(folder)?;
    let (host, pid) = (run::lock::host(), std::process::id());
    let path = |n: u32| -> PathBuf { folder.join(format!("events.out.tfevents.{t:.0}.{host}.{pid}.{n}")) };
    let mut last = Err(std::io::ErrorKind::AlreadyExists.into());
    for n in 0..100 {
        last = Writer::create(&path(n));
        if !matches!(&last, Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    let mut writer = last?;
    append(&mut writer, &Event::version(t))?;
    Ok(writer)
}

fn append(writer: &mut Writer, event: &Event) -> std::io::Result<()> {
    writer.append(&event.encode_to_vec())
}

fn event_of(run: &RunDir, t: f64, body: &Body) -> Option<Event> {
    let at = |step: u64| i64::try_from(step).unwrap_or(i64::MAX);
    match body {
        Body::Started(_) => {
            let config = std::fs::read_to_string(run.config()).ok()?;
            // Indented: Markdown leaves it as it is.
            let text: String = config.lines().map(|line| format!("    {line}\n")).collect();
            Some(Event::summary(t, 0, vec![Value::text("settings", &text)]))
        }
        Body::Resumed { from_step } => Some(Event::restart(t, at(from_step + 1))),
        Body::Metrics(m) => Some(Event::summary(t, at(m.step), scalars(m))),
        Body::Sample(s) => Some(Event::summary(t, at(s.step), sample(s))),
        Body::Evaluation(e) => {
            let figures = e.result.as_ref()?;
            let tag = |name: &String| format!("{}/{name}", e.task);
            let values = figures.iter().map(|(name, value)| Value::scalar(tag(name), *value)).collect();
            Some(Event::summary(t, at(e.step), values))
        }
        _ => None,
    }
}

fn scalars(m: &Metrics) -> Vec<Value> {
    let curves = m.curves().map(|(name, value)| Value::scalar(format!("train/{name}"), value));
    curves.chain([Value::scalar("train/epoch", m.epoch)]).collect()
}

fn sample(s: &Sample) -> Vec<Value> {
    let tag = format!("samples/{}", s.index);
    let text = format!("    model:     {}\n    reference: {}\n", s.caption, s.reference);
    let mut values = vec![Value::text(format!("{tag}/captions"), &text)];
    // A picture that has gone meanwhile is no reason to leave its captions out.
    if let Some((size, png)) = picture(Path::new(&s.image)) {
        values.push(Value::image(tag, size, png));
    }
    values
}

fn picture(path: &Path) -> Option<((u32, u32), Vec<u8>)> {
    let picture = data::picture::decode(&std::fs::read(path).ok()?).ok()?;
    let side = |n: usize| u32::try_from(n).ok();
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut rgb = image::RgbImage::from_raw(width, height, picture.rgb().to_vec())?;
    if width.max(height) > PICTURE_SIDE {
        let small = image::DynamicImage::ImageRgb8(rgb).resize(
            PICTURE_SIDE,
            PICTURE_SIDE,
            image::imageops::FilterType::Triangle,
        );
        rgb = small.into_rgb8();
    }
    let mut png = Vec::new();
    rgb.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).ok()?;
    Some((rgb.dimensions(), png))
}
