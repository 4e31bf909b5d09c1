//! Cached decoding against the whole forward pass, and against open_clip's ids.

use crate::common::{difference, fixture, golden, tiny};
use engine::generate::{Decoding, TextOptions, greedy, greedy_from};
use engine::model::{CoCa, TextBatch};
use tch::{Device, IndexOp, Kind, Tensor};

const OPTIONS: TextOptions = TextOptions { sot: 95, eot: 96, min_len: 5, max_len: 11, force_eot: true };

#[test]
fn greedy_gives_open_clips_ids() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let json = std::fs::read_to_string(fixture("tiny_generate_3.3.0.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected: Vec<Vec<i64>> = serde_json::from_value(json["greedy_topk1"].clone()).unwrap();
    assert_eq!(greedy(&model, &golden()["image"], &OPTIONS).unwrap(), expected);
}

/// Logits after each token, by caches and by the whole prefix, pads inside the text and both masks included;
/// a prompt of several tokens at once, too.
#[test]
fn cached_logits_equal_the_whole_forward_pass() {
    for correct in [false, true] {
        let (mut config, parameters) = tiny();
        config.text.correct_cls_mask = correct;
        let model = CoCa::new(config, &parameters).unwrap();
        let image = golden()["image"].i(0..2);
        let ids = Tensor::from_slice(&[
            95i64, 5, 0, 7, 8, 0, 0, 9, 3, 1, 2, 96, 95, 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10,
        ]);
        let ids = ids.view([2, 12]);
        let whole = TextBatch::whole(&ids, &model.config, Device::Cpu).unwrap();
        let expected = tch::no_grad(|| model.forward(&image, &whole, false).unwrap().logits_btv);
        let tokens = tch::no_grad(|| model.encode_image(&image).unwrap());
        for prompt in [1, 4, 12] {
            let mut decoding = Decoding::new(&model, &tokens, 1, 12).unwrap();
            let mut fed = 0;
            while fed < 12 {
                let new = if fed == 0 { prompt } else { 1 };
                let logits = decoding.advance(&ids.narrow(1, fed, new)).unwrap();
                fed += new;
                let worst = difference(&logits, &expected.select(1, fed - 1));
                assert!(worst <= 1e-5, "correct mask {correct}, prompt {prompt}, position {fed}: {worst:e}");
            }
            assert!(decoding.advance(&ids.narrow(1, 0, 1)).is_err(), "full");
        }
    }
}

/// Rows of one image, moved about as beams are, equal rows that went that way from the start.
#[test]
fn rows_can_be_reordered_within_their_image() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let tokens = tch::no_grad(|| model.encode_image(&golden()["image"].i(0..2)).unwrap());
    let ids = |list: &[i64]| Tensor::from_slice(list).view([4, 1]);
    let mut beams = Decoding::new(&model, &tokens, 2, 8).unwrap();
    let _ = beams.advance(&ids(&[95, 95, 95, 95])).unwrap();
    let _ = beams.advance(&ids(&[3, 0, 5, 6])).unwrap();
    beams.reorder(&Tensor::from_slice(&[1i64, 1, 3, 2]));
    let moved = beams.advance(&ids(&[7, 8, 9, 10])).unwrap();

    let mut straight = Decoding::new(&model, &tokens, 2, 8).unwrap();
    let _ = straight.advance(&ids(&[95, 95, 95, 95])).unwrap();
    let _ = straight.advance(&ids(&[0, 0, 6, 5])).unwrap();
    let expected = straight.advance(&ids(&[7, 8, 9, 10])).unwrap();
    assert!(difference(&moved, &expected) <= 1e-6);
    assert!(difference(&moved.i(0), &moved.i(1)) > 1e-3, "rows differ");
}

#[test]
fn texts_end_at_eot_or_the_longest_length_and_options_are_checked() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let tokens = tch::no_grad(|| model.encode_image(&golden()["image"]).unwrap());
    let free = TextOptions { max_len: 13, force_eot: false, ..OPTIONS };
    let texts = greedy_from(&model, &tokens, &free).unwrap();
    assert_eq!(texts.len(), 3);
    for text in &texts {
        assert!(text.len() == 13 || text.last() == Some(&96), "{text:?}");
    }
    // Whatever comes second is EOT now: each text ends there, and the shorter batch stops early.
    let second = texts[0][1];
    let stopped = greedy_from(&model, &tokens, &TextOptions { eot: second, min_len: 0, ..free }).unwrap();
    assert_eq!(stopped[0], [95, second]);
    // Forbidden until it may come.
    let later = greedy_from(&model, &tokens, &TextOptions { eot: second, min_len: 4, ..free }).unwrap();
    assert!(!later[0][..4].contains(&second), "{later:?}");

    for bad in [
        TextOptions { max_len: 14, ..OPTIONS },
        TextOptions { max_len: 1, ..OPTIONS },
        TextOptions { sot: 97, ..OPTIONS },
    ] {
        assert!(greedy_from(&model, &tokens, &bad).is_err(), "{bad:?}");
    }
    let wrong = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
    assert!(greedy(&model, &wrong, &OPTIONS).is_err());
}
