//! Measures loading as a training of CLIP's size has it: `cargo run --release -p cocaptain-data --example loader --
//! DATA [SECONDS]` opens DATA, makes batches of 16 at 224 pixels with CLIP's tokenizer for so long, first on the one
//! thread that asks for them, then with one worker while this thread computes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data::picture::{CLIP_MEAN, CLIP_STD, CropOptions, Preprocess};
use data::{Dataset, Loader, LoaderOptions, ReadOptions, Split, Tokenizer};

const BATCH: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let data = Path::new(args.first().ok_or("usage: loader DATA [SECONDS]")?);
    let seconds: f64 = args.get(1).map_or(Ok(5.0), |seconds| seconds.parse())?;
    let began = Instant::now();
    let dataset = Arc::new(Dataset::open(data, Split::Train, &ReadOptions::default())?);
    let opened = began.elapsed();
    let preprocess = Preprocess::new(224, CLIP_MEAN, CLIP_STD);
    let options = LoaderOptions {
        shuffle: true,
        seed: 42,
        augment: Some(CropOptions::default()),
        drop_last: true,
        workers: 0,
        epochs: None,
        ..LoaderOptions::evaluation(BATCH, preprocess, Tokenizer::clip()?, 76)
    };
    let mut loader = Loader::new(dataset.clone(), options.clone())?;
    if let Some(first) = loader.next() {
        match first {
            Ok(batch) => loader.recycle(batch),
            Err(error) => println!("first batch: {error}"),
        }
    }
    println!(
        "{} samples open in {:.0} ms; the first batch after {:.0} ms",
        dataset.len(),
        opened.as_secs_f64() * 1e3,
        began.elapsed().as_secs_f64() * 1e3
    );
    let (began, mut images) = (Instant::now(), 0);
    while began.elapsed().as_secs_f64() < seconds {
        let Some(batch) = loader.next() else { break };
        let batch = batch?;
        images += batch.len();
        loader.recycle(batch);
    }
    let rate = images as f64 / began.elapsed().as_secs_f64();
    println!("one thread: {rate:.1} images/s");
    // A model that takes a little longer for a batch than one thread does.
    let step = Duration::from_secs_f64(BATCH as f64 / rate * 1.15);
    let mut loader = Loader::new(dataset, LoaderOptions { workers: 1, prefetch: 4, ..options })?;
    let (began, mut busy, mut images) = (Instant::now(), 0u64, 0);
    while began.elapsed().as_secs_f64() < seconds {
        let Some(batch) = loader.next() else { break };
        let batch = batch?;
        images += batch.len();
        loader.recycle(batch);
        let from = Instant::now();
        while from.elapsed() < step {
            busy = std::hint::black_box(busy.wrapping_mul(31).wrapping_add(1));
        }
    }
    let all = began.elapsed().as_secs_f64();
    println!(
        "a model busy on one core, {:.0} ms a batch: {:.1} images/s, {:.1} % of the time waited for data",
        step.as_secs_f64() * 1e3,
        images as f64 / all,
        loader.waited().as_secs_f64() / all * 100.0
    );
    Ok(())
}
