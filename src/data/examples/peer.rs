//! What `make test-peer` compares with Python (tools/peer/compare). Every answer is a line of JSON:
//!
//! - `peer pixels FILE...`: of each picture its 224 x 224 pixels as the model is shown them (hexadecimal), or its error;
//! - `peer crops FILE`: the same of training crops, {"file","left","top","width","height"} a line;
//! - `peer boxes WIDTH HEIGHT COUNT`: crops as they are drawn for training;
//! - `peer tokens FILE [LENGTH]`, `peer clean FILE`: the ids of each text of a file that holds a JSON string a line, and
//!   what cleaning leaves of it;
//! - `peer decode FILE`: the text of each line's ids.

use std::fmt::Write as _;
use std::io::Write as _;

use data::Tokenizer;
use data::picture::{CLIP_MEAN, CLIP_STD, Crop, CropOptions, Preprocess, decode};
use data::random::{Purpose, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Asked {
    file: String,
    #[serde(flatten)]
    part: Part,
}

#[derive(Serialize, Deserialize)]
struct Part {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

fn hexadecimal(pixels: &[u8]) -> Result<String, std::fmt::Error> {
    let mut hex = String::with_capacity(2 * pixels.len());
    for byte in pixels {
        write!(hex, "{byte:02x}")?;
    }
    Ok(hex)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let preprocess = Preprocess::new(224, CLIP_MEAN, CLIP_STD);
    let clip = Tokenizer::clip()?;
    let mut answer = |line: Value| writeln!(out, "{line}");
    let read = |file: &String| std::fs::read_to_string(file);
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["pixels", ..] => {
            for file in &args[1..] {
                answer(match preprocess.middle_of_file(&std::fs::read(file)?) {
                    Ok(pixels) => json!({ "pixels": hexadecimal(&pixels)? }),
                    Err(error) => json!({ "error": error.to_string() }),
                })?;
            }
        }
        ["crops", _] => {
            for line in read(&args[1])?.lines() {
                let Asked { file, part: Part { left, top, width, height } } = serde_json::from_str(line)?;
                let picture = decode(&std::fs::read(file)?)?;
                let pixels = preprocess.part(&picture, Crop { left, top, width, height });
                answer(json!({ "pixels": hexadecimal(&pixels)? }))?;
            }
        }
        ["boxes", width, height, count] => {
            let size = (width.parse()?, height.parse()?);
            for index in 0..count.parse()? {
                let mut rng = stream(1, Purpose::Augment, 0, index);
                let Crop { left, top, width, height } = Crop::draw(size, &CropOptions::default(), &mut rng);
                answer(serde_json::to_value(Part { left, top, width, height })?)?;
            }
        }
        ["tokens", _, length @ ..] => {
            let length = length.first().map_or(Ok(76), |text| text.parse())?;
            for line in read(&args[1])?.lines() {
                answer(json!(clip.encode(&serde_json::from_str::<String>(line)?, length)?))?;
            }
        }
        ["clean", _] => {
            for line in read(&args[1])?.lines() {
                answer(json!(data::tokenizer::clean(&serde_json::from_str::<String>(line)?)))?;
            }
        }
        ["decode", _] => {
            for line in read(&args[1])?.lines() {
                answer(json!(clip.decode(&serde_json::from_str::<Vec<i64>>(line)?)))?;
            }
        }
        _ => return Err("usage: see the first lines of src/data/examples/peer.rs".into()),
    }
    Ok(())
}
