//! Draws the demo dataset: `cargo run --release -p cocaptain-data --example draw_demo -- DIR [TRAIN] [SIDE]`.

use std::path::Path;
use std::time::Instant;

use data::demo::{DemoOptions, draw};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or("usage: draw_demo DIR [TRAIN] [SIDE]")?;
    let mut options = DemoOptions::default();
    if let Some(train) = args.get(1) {
        options.train = train.parse()?;
    }
    if let Some(side) = args.get(2) {
        options.side = side.parse()?;
    }
    let started = Instant::now();
    let summary = draw(Path::new(dir), &options, &|_, _| ())?;
    println!("{summary:#?} in {:.2} s", started.elapsed().as_secs_f64());
    Ok(())
}
