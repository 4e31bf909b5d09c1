//! `cocaptain bench data`: how fast batches are made, as a training of CLIP's size takes them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use data::picture::{CLIP_MEAN, CLIP_STD, CropOptions, Preprocess};
use data::{Loader, LoaderOptions};

use crate::cli::data::read;
use crate::cli::{Done, Failure, print};

/// How much longer than one thread takes for a batch the model of the second measurement takes.
const SLACK: f64 = 1.15;
/// Seed of order and augmentation: every round sees the same.
const SEED: u64 = 42;

pub fn command() -> Command {
    let number = |name: &'static str, least: u64, value: &'static str, help: &'static str| {
        let range = value_parser!(u64).range(least..=4096);
        Arg::new(name).long(name).value_name("N").value_parser(range).default_value(value).help(help)
    };
    let command = Command::new("data")
        .about("Make training batches: open, decode, crop, normalise, tokenise; on one thread, then beside a busy one")
        .after_help(
            "--json prints samples, open_seconds, first_batch_seconds (opening included), images_per_second and \
             images_per_cpu_second of one thread, and of the second measurement, where one thread makes batches and \
             another computes for a little longer than a batch takes: busy_images_per_second, wait_share.",
        )
        .arg(
            Arg::new("DATA")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Annotation file, shards or folder; see docs/datasets.md"),
        )
        .arg(number("batch", 1, "16", "Pictures of a batch"))
        .arg(number("side", 16, "224", "Width and height of the model's pictures"))
        .arg(number("seconds", 1, "5", "Seconds of each measurement"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"));
    read::flags(read::token_flags(command))
}

/// What was measured.
#[derive(serde::Serialize)]
struct Told {
    samples: usize,
    open_seconds: f64,
    first_batch_seconds: f64,
    images_per_second: f64,
    images_per_cpu_second: f64,
    busy_images_per_second: f64,
    wait_share: f64,
}

pub fn bench(m: &ArgMatches) -> Done {
    let number = |name: &str| m.get_one::<u64>(name).map_or(1, |n| usize::try_from(*n).unwrap_or(1));
    let (batch, seconds) = (number("batch"), Duration::from_secs(number("seconds") as u64));
    let began = Instant::now();
    let dataset = Arc::new(read::open(m, "DATA")?);
    let open_seconds = began.elapsed().as_secs_f64();
    let preprocess = Preprocess::new(number("side"), CLIP_MEAN, CLIP_STD);
    let tokenizer = read::tokenizer(m, dataset.path())?;
    let options = LoaderOptions {
        shuffle: true,
        seed: SEED,
        augment: Some(CropOptions::default()),
        drop_last: true,
        workers: 0,
        epochs: None,
        ..LoaderOptions::evaluation(batch, preprocess, tokenizer, read::context_length(m))
    };
    let mut loader = Loader::new(dataset.clone(), options.clone()).map_err(Failure::failed)?;
    let first = loader.next();
    let first_batch_seconds = began.elapsed().as_secs_f64();
    // Without its pictures an annotation file can be opened, and no more.
    if let Some(Err(error)) = first {
        let opened = format!("{} samples open in {open_seconds:.3} s", dataset.len());
        return Err(Failure::Failed(format!("{opened}; no batch after {first_batch_seconds:.3} s: {error}")));
    }
    let (began, busy, mut images) = (Instant::now(), cpu_time(), 0);
    while began.elapsed() < seconds {
        images += take(&mut loader)?;
    }
    let images_per_second = images as f64 / began.elapsed().as_secs_f64();
    let images_per_cpu_second = images as f64 / cpu_time().saturating_sub(busy).as_secs_f64().max(1e-9);
    let step = Duration::from_secs_f64(batch as f64 / images_per_second * SLACK);
    let options = LoaderOptions { workers: 1, prefetch: 4, ..options };
    let mut loader = Loader::new(dataset.clone(), options).map_err(Failure::failed)?;
    take(&mut loader)?;
    // The first batch is always waited for.
    let (began, before, mut images, mut work) = (Instant::now(), loader.waited(), 0, 0u64);
    while began.elapsed() < seconds {
        images += take(&mut loader)?;
        let from = Instant::now();
        while from.elapsed() < step {
            work = std::hint::black_box(work.wrapping_mul(31).wrapping_add(1));
        }
    }
    let all = began.elapsed().as_secs_f64();
    let told = Told {
        samples: dataset.len(),
        open_seconds,
        first_batch_seconds,
        images_per_second,
        images_per_cpu_second,
        busy_images_per_second: images as f64 / all,
        wait_share: (loader.waited().saturating_sub(before)).as_secs_f64() / all,
    };
    if m.get_flag("json") {
        return print(&format!("{}\n", serde_json::to_string(&told).map_err(Failure::failed)?));
    }
    print(&format!(
        "{} samples open in {open_seconds:.3} s, the first batch is there after {first_batch_seconds:.3} s\n\
         one thread: {images_per_second:.0} images a second, {images_per_cpu_second:.0} in a second of its CPU\n\
         beside a thread that computes {:.0} ms a batch: {:.0} images a second, {:.1} % of the time waited for data\n",
        told.samples,
        step.as_secs_f64() * 1e3,
        told.busy_images_per_second,
        told.wait_share * 100.0
    ))
}

/// Takes a batch: how many pictures it has.
fn take(loader: &mut Loader) -> Result<usize, Failure> {
    let Some(batch) = loader.next() else { return Ok(0) };
    let batch = batch.map_err(Failure::failed)?;
    let images = batch.len();
    loader.recycle(batch);
    Ok(images)
}

/// What this thread has computed: the same on a busy machine.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
