//! Ranks of random features: how long they take, and how much memory. `retrieval IMAGES TEXTS [WIDTH]`.

use std::time::Instant;

use engine::evaluate::retrieval::ranks;
use engine::parallel::Mesh;
use tch::{Device, Kind, Tensor};

fn main() {
    let given: Vec<i64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [images, texts, rest @ ..] = &given[..] else {
        eprintln!("usage: retrieval IMAGES TEXTS [WIDTH]");
        std::process::exit(2);
    };
    let width = rest.first().copied().unwrap_or(512);
    tch::manual_seed(1);
    let random = |n: i64| Tensor::randn([n, width], (Kind::Float, Device::Cpu));
    let (images_nd, texts_md) = (random(*images), random(*texts));
    let owners: Vec<u32> = (0..*texts).map(|j| u32::try_from(j % images).unwrap_or(0)).collect();
    let start = Instant::now();
    let found = ranks(&images_nd, &texts_md, &owners, &Mesh::alone(), |_, _| true);
    let figures = found.ok().flatten().map(|ranks| ranks.figures()).unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "{images} x {texts} x {width}: {:.1} s, {}",
        start.elapsed().as_secs_f64(),
        peak.replace('\t', " ")
    );
    println!("R@10 {:?} {:?}", figures.get("image_to_text_R@10"), figures.get("text_to_image_R@10"));
}
