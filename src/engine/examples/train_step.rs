//! Seconds of one optimiser step on the CPU (forward, loss, backward, AdamW), median after one warm-up:
//! the same work as `peer.py train-step` does with open_clip.
//!
//! usage: train_step [MODEL] [BATCH] [REPEAT] [THREADS]

use std::time::Instant;

use engine::loss::{LossWeights, coca_loss};
use engine::model::{CoCa, CoCaConfig, TextBatch};
use engine::optimiser::{AdamW, AdamWConfig, Rates};
use tch::{Device, Kind, Tensor};

/// peer.py's four captions as open_clip's tokenizer gives them, 76 ids each with padding.
const CAPTIONS: [&[i64]; 4] = [
    &[49406, 320, 2308, 3309, 320, 2315, 525, 899, 1375, 7266, 320, 2972, 269, 49407],
    &[49406, 320, 786, 6765, 320, 4535, 525, 1253, 539, 320, 10176, 1972, 269, 49407],
    &[49406, 1237, 3255, 1629, 593, 320, 736, 45768, 530, 518, 5922, 269, 49407],
    &[49406, 320, 2660, 705, 539, 320, 5135, 539, 1559, 593, 19094, 537, 4741, 269, 49407],
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |text| text.parse());
    let name = args.first().map_or("coca_ViT-B-32", String::as_str);
    let (batch, repeat) = (number(1, 8)?, number(2, 3)?);
    engine::device::set_num_threads(number(3, engine::device::num_threads())?);

    let (model, parameters) = CoCa::initialise(CoCaConfig::named(name)?, 0, Device::Cpu)?;
    let mut optimiser = AdamW::new(&parameters, AdamWConfig::default())?;
    let ids: Vec<i64> = (0..batch)
        .flat_map(|i| CAPTIONS[i % CAPTIONS.len()].iter().copied().chain(std::iter::repeat(0)).take(76))
        .collect();
    let ids = Tensor::from_slice(&ids).view([batch as i64, 76]);
    let side = model.config.vision.image_size;
    let image = Tensor::randn([batch as i64, 3, side, side], (Kind::Float, Device::Cpu));

    let mut seconds = Vec::new();
    for step in 0..=repeat {
        let start = Instant::now();
        parameters.clear_gradients()?;
        let text = TextBatch::trimmed(&ids, &model.config, Device::Cpu)?;
        let losses = coca_loss(&model, &image, &text, LossWeights::default(), None)?;
        let forward = start.elapsed();
        losses.total.backward();
        let backward = start.elapsed();
        optimiser.step(&Rates::uniform(1e-4, 0.01), None)?;
        let all = start.elapsed();
        let loss = losses.total.double_value(&[]);
        eprintln!(
            "step {step}: loss {loss:.4}, forward {forward:.2?}, backward done {backward:.2?}, all {all:.2?}"
        );
        if step > 0 {
            seconds.push(all.as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!("{{\"seconds\": {:.4}}}", seconds[seconds.len() / 2]);
    Ok(())
}
