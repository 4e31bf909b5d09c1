//! What `make test-peer` compares with Python: `peer pixels FILE...` prints a line of JSON for each picture, with its
//! 224 x 224 pixels as the model is shown them (hexadecimal) or its error; `peer tokens FILE` the ids of each text of
//! a file that holds a JSON string a line; `peer clean FILE` what is left of it after cleaning.

use std::fmt::Write as _;
use std::io::Write as _;

use data::Tokenizer;
use data::picture::{CLIP_MEAN, CLIP_STD, Preprocess, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match args.split_first() {
        Some((what, files)) if what == "pixels" => {
            let preprocess = Preprocess::new(224, CLIP_MEAN, CLIP_STD);
            for file in files {
                let line = match decode(&std::fs::read(file)?) {
                    Ok(picture) => {
                        let mut hex = String::new();
                        for byte in preprocess.middle(&picture).iter() {
                            write!(hex, "{byte:02x}")?;
                        }
                        serde_json::json!({ "file": file, "pixels": hex })
                    }
                    Err(error) => serde_json::json!({ "file": file, "error": error.to_string() }),
                };
                writeln!(out, "{line}")?;
            }
        }
        Some((what, [file])) if what == "tokens" || what == "clean" => {
            let clip = Tokenizer::clip()?;
            for line in std::fs::read_to_string(file)?.lines() {
                let text: String = serde_json::from_str(line)?;
                let answer = if what == "tokens" {
                    serde_json::json!(clip.encode(&text, 76)?)
                } else {
                    serde_json::json!(data::tokenizer::clean(&text))
                };
                writeln!(out, "{answer}")?;
            }
        }
        _ => return Err("usage: peer pixels FILE... | tokens FILE | clean FILE".into()),
    }
    Ok(())
}
