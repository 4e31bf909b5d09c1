//! Measures loading on one thread: `cargo run --release -p cocaptain-data --example measure -- DEMO_DIR [PHOTO.jpg]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use data::picture::{CLIP_MEAN, CLIP_STD, CropOptions, Preprocess, decode};
use data::{Dataset, Loader, LoaderOptions, ReadOptions, Split, Tokenizer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = Path::new(args.first().ok_or("usage: measure DEMO_DIR [PHOTO]")?);
    let began = Instant::now();
    let dataset = Arc::new(Dataset::open(dir, Split::Train, &ReadOptions::default())?);
    println!("open {} samples: {:.1} ms", dataset.len(), began.elapsed().as_secs_f64() * 1e3);
    if dir.is_file() {
        return Ok(());
    }
    let tokenizer = Tokenizer::from_file(&dir.join("tokenizer.json"))?;
    let evaluation = LoaderOptions::evaluation(128, Preprocess::new(48, CLIP_MEAN, CLIP_STD), tokenizer, 24);
    for augment in [None, Some(CropOptions::default())] {
        let options = LoaderOptions {
            shuffle: true,
            augment,
            drop_last: true,
            workers: 0,
            cache_bytes: 512 << 20,
            epochs: Some(3),
            ..evaluation.clone()
        };
        let mut loader = Loader::new(dataset.clone(), options)?;
        for epoch in 0..3 {
            let (began, mut images) = (Instant::now(), 0);
            for _ in 0..loader.batches_per_epoch() {
                if let Some(batch) = loader.next() {
                    let batch = batch?;
                    images += batch.len();
                    loader.recycle(batch);
                }
            }
            let rate = images as f64 / began.elapsed().as_secs_f64();
            println!("augment {}, epoch {epoch}: {rate:.0} images/s", augment.is_some());
        }
    }
    let began = Instant::now();
    let clip = Tokenizer::clip()?;
    println!("CLIP vocabulary: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let captions: Vec<&str> = (0..dataset.len()).flat_map(|index| dataset.captions(index)).collect();
    let began = Instant::now();
    for caption in &captions {
        clip.encode(caption, 76)?;
    }
    println!("CLIP tokenizer: {:.0} captions/s", captions.len() as f64 / began.elapsed().as_secs_f64());
    if let Some(photo) = args.get(1) {
        let bytes = std::fs::read(photo)?;
        let preprocess = Preprocess::new(224, CLIP_MEAN, CLIP_STD);
        let mut out = vec![0.0; preprocess.numbers()];
        let (began, rounds) = (Instant::now(), 100);
        let mut decoding = 0.0;
        for _ in 0..rounds {
            let part = Instant::now();
            let picture = decode(&bytes)?;
            decoding += part.elapsed().as_secs_f64();
            preprocess.evaluate(&picture, &mut out);
        }
        let each = began.elapsed().as_secs_f64() / f64::from(rounds) * 1e3;
        println!("{photo}: {each:.2} ms, of it decoding {:.2} ms", decoding / f64::from(rounds) * 1e3);
    }
    Ok(())
}
