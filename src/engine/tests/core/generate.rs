//! Cached decoding against the whole forward pass, and against open_clip's ids.

use crate::common::{difference, fixture, golden, tiny};
use std::ops::ControlFlow;

use engine::generate::{GenerateError, Generated, Incremental, Progress, SpecialIds, generate, padded};
use engine::model::{CoCa, ImageTokens, TextBatch};
use engine::shim::steps::{Kept, Steps};
use run::decoding::{Compat, Decoding, Method};
use tch::{Device, IndexOp, Tensor};

const SPECIAL: SpecialIds = SpecialIds { sot: 95, eot: 96 };

/// What make_golden.py asked of open_clip.
fn compat(method: Method) -> Decoding {
    Decoding { method, min_len: 5, max_len: 11, compat: Some(Compat::OpenClip33), ..Decoding::default() }
}

fn beams(beams: u32, groups: u32) -> Method {
    Method::Beam { beams, groups, diversity_penalty: 0.0, length_penalty: 1.0 }
}

fn tokens(model: &CoCa, images: i64) -> ImageTokens {
    tch::no_grad(|| model.encode_image(&golden()["image"].i(0..images)).unwrap())
}

fn texts(model: &CoCa, image: &ImageTokens, prompt: &[i64], by: &Decoding) -> Vec<Vec<Generated>> {
    generate(model, image, SPECIAL, prompt, by, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// What the model gives to every id behind each id of a text, by the whole forward pass: logits `[t,v]`.
fn rows(model: &CoCa, image: i64, ids: &[i64]) -> Tensor {
    let row = Tensor::from_slice(ids).view([1, -1]);
    let whole = TextBatch::whole(&row, &model.config, Device::Cpu).unwrap();
    let image = golden()["image"].i(image..image + 1);
    tch::no_grad(|| model.forward(&image, &whole, false).unwrap().logits_btv.i(0))
}

/// The mean log-probability of the ids behind the first `given`, by the whole forward pass.
fn mean_log_probability(model: &CoCa, image: i64, ids: &[i64], given: usize) -> f64 {
    let log_p = rows(model, image, ids).log_softmax(-1, tch::Kind::Double);
    let of = |at: usize| log_p.double_value(&[at as i64 - 1, ids[at]]);
    (given..ids.len()).map(of).sum::<f64>() / (ids.len() - given) as f64
}

#[test]
fn every_case_of_open_clip_gives_its_ids() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let json = std::fs::read_to_string(fixture("tiny_generate_3.3.0.json")).unwrap();
    let mut cases: std::collections::BTreeMap<String, Vec<Vec<i64>>> = serde_json::from_str(&json).unwrap();
    let image = tokens(&model, 3);
    let mut check = |name: &str, by: Decoding| {
        let ids = padded(&texts(&model, &image, &[], &by), 0);
        assert_eq!(ids, cases.remove(name).unwrap(), "{name}");
    };
    check("greedy_topk1", compat(Method::Greedy));
    for (name, b, g) in [
        ("beam6_groups3", 6, 3),
        ("beam2_groups1", 2, 1),
        ("beam6_groups1", 6, 1),
        ("beam4_groups1", 4, 1),
        ("beam3_groups1", 3, 1),
        ("beam4_fixed", 4, 1),
    ] {
        check(name, compat(beams(b, g)));
    }
    check("beam4_rep1.3", Decoding { repetition_penalty: 1.3, ..compat(beams(4, 1)) });
    assert!(cases.is_empty(), "not compared: {:?}", cases.keys());
    // A draw from one id is no draw.
    let one = compat(Method::Sample { top_k: Some(1), top_p: None });
    assert_eq!(
        texts(&model, &image, &[], &one)[0][0].ids,
        texts(&model, &image, &[], &compat(Method::Greedy))[0][0].ids
    );
}

/// Scores mean what they say, and one beam is greedy.
#[test]
fn scores_are_mean_log_probabilities() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 3);
    let base = Decoding { max_len: 11, min_len: 0, ..Decoding::default() };
    let draw = Method::Sample { top_k: Some(20), top_p: None };
    for (method, captions) in [(Method::Greedy, 1), (beams(1, 1), 1), (beams(4, 1), 4), (draw, 3)] {
        for prompt in [&[][..], &[7, 8]] {
            let by = Decoding { method: method.clone(), captions, ..base.clone() };
            let all = texts(&model, &image, prompt, &by);
            for (i, of_image) in all.iter().enumerate() {
                assert!(of_image.len() == captions as usize, "{by:?}: {of_image:?}");
                assert!(of_image.is_sorted_by(|a, b| a.score >= b.score), "{of_image:?}");
                for text in of_image {
                    assert_eq!(&text.ids[1..=prompt.len()], prompt);
                    let mean = mean_log_probability(&model, i as i64, &text.ids, prompt.len() + 1);
                    assert!((mean - text.score).abs() < 1e-5, "{by:?}: {mean} {text:?}");
                }
            }
            if matches!(method, Method::Beam { beams: 1, .. }) {
                let greedy =
                    texts(&model, &image, prompt, &Decoding { method: Method::Greedy, ..base.clone() });
                assert_eq!(padded(&all, 0), padded(&greedy, 0));
            }
        }
    }
}

/// Each image alone, and in the batch; images that end early leave it without a trace.
#[test]
fn what_is_beside_an_image_does_not_change_its_texts() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let all = tokens(&model, 3);
    // An end that comes soon for some image and later for others.
    let greedy = Decoding { method: Method::Greedy, min_len: 0, max_len: 12, ..Decoding::default() };
    let eot = texts(&model, &all, &[], &greedy)[2][0].ids[2];
    let special = SpecialIds { eot, ..SPECIAL };
    let draw = Method::Sample { top_k: None, top_p: Some(0.9) };
    let diverse = Method::Beam { beams: 4, groups: 2, diversity_penalty: 0.7, length_penalty: 0.8 };
    for (method, captions) in [(Method::Greedy, 1), (draw, 3), (beams(3, 1), 3), (diverse, 4)] {
        let by = Decoding { method, captions, ..greedy.clone() };
        let run = |image: &ImageTokens| {
            generate(&model, image, special, &[], &by, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let together = run(&all);
        let ends: std::collections::BTreeSet<usize> = together.iter().map(|of| of[0].ids.len()).collect();
        assert!(ends.len() > 1 || captions > 1, "{by:?}: {together:?}");
        for i in 0..3 {
            let alone = ImageTokens {
                features_bd: all.features_bd.i(i..i + 1),
                tokens_bnw: all.tokens_bnw.i(i..i + 1),
            };
            let alone = run(&alone);
            let ids = |of: &[Generated]| of.iter().map(|t| t.ids.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&alone[0]), ids(&together[i as usize]), "{by:?}, image {i}");
        }
        assert_eq!(run(&all), together, "the same seed gives the same");
    }
}

#[test]
fn diversity_tells_groups_apart_and_penalties_do_what_they_say() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 3);
    let base = Decoding { max_len: 11, ..Decoding::default() };
    let diverse = |diversity_penalty| Decoding {
        method: Method::Beam { beams: 3, groups: 3, diversity_penalty, length_penalty: 1.0 },
        captions: 3,
        ..base.clone()
    };
    for of_image in texts(&model, &image, &[], &diverse(1e6)) {
        // No group may choose what an earlier one did at the same step.
        assert_eq!(of_image.len(), 3);
        for at in 1..11 {
            let ids: std::collections::BTreeSet<i64> = of_image.iter().map(|text| text.ids[at]).collect();
            assert_eq!(ids.len(), 3, "{of_image:?}");
        }
    }
    assert!(texts(&model, &image, &[], &diverse(0.0)).iter().all(|of| of.len() == 1));
    let once = Decoding { repetition_penalty: 1e9, method: Method::Greedy, ..base.clone() };
    for of_image in texts(&model, &image, &[], &once) {
        let ids = &of_image[0].ids;
        let positive_all_used = ids.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(positive_all_used, ids.len(), "{ids:?}");
    }
}

/// An id that greedy writes early for some image: taken for the end, it ends texts.
fn early_end(model: &CoCa, image: &ImageTokens) -> SpecialIds {
    let greedy = Decoding { method: Method::Greedy, min_len: 0, max_len: 12, ..Decoding::default() };
    SpecialIds { eot: texts(model, image, &[], &greedy)[2][0].ids[2], ..SPECIAL }
}

#[test]
fn no_text_ends_before_the_least_length_or_goes_on_behind_the_greatest() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 3);
    let special = early_end(&model, &image);
    let draw = Method::Sample { top_k: Some(2), top_p: None };
    for (method, captions) in [(Method::Greedy, 1), (beams(3, 1), 3), (draw, 4)] {
        let mut lengths = Vec::new();
        for (min_len, max_len) in [(0, 12), (6, 12), (8, 9), (0, 4), (1, 2)] {
            let by = Decoding { method: method.clone(), captions, min_len, max_len, ..Decoding::default() };
            let all = generate(&model, &image, special, &[], &by, &mut |_| ControlFlow::Continue(()));
            let all: Vec<Vec<i64>> = all.unwrap().into_iter().flatten().map(|text| text.ids).collect();
            for ids in &all {
                let end = ids.iter().position(|id| *id == special.eot);
                assert!(ids.len() <= max_len as usize, "{by:?}: {ids:?}");
                assert!(
                    end.is_none_or(|at| at >= min_len as usize && at + 1 == ids.len()),
                    "{by:?}: {ids:?}"
                );
                assert!(end.is_some() || ids.len() == max_len as usize, "{by:?}: {ids:?}");
            }
            lengths.push(all.iter().map(Vec::len).min().unwrap());
        }
        // The settings mattered: without a least length some text is short.
        assert!(lengths[0] < 7 && lengths[1] >= 7 && lengths[3] <= 4, "{method:?}: {lengths:?}");
    }
}

#[test]
fn draws_keep_to_the_likeliest_and_to_their_seed() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 1);
    let base = Decoding { captions: 6, min_len: 0, max_len: 9, ..Decoding::default() };
    let sample = |top_k, top_p, temperature, seed| {
        let by = Decoding { method: Method::Sample { top_k, top_p }, temperature, seed, ..base.clone() };
        texts(&model, &image, &[], &by).remove(0).into_iter().map(|text| text.ids).collect::<Vec<_>>()
    };
    // The rank of each id among what was possible, and the probability of all that is likelier.
    let places = |ids: &[i64]| {
        let p = rows(&model, 0, ids).softmax(-1, tch::Kind::Double);
        let place = |at: usize| {
            let (row, own) = (p.i(at as i64 - 1), p.double_value(&[at as i64 - 1, ids[at]]));
            let likelier = row.masked_select(&row.gt(own));
            (likelier.size()[0], likelier.sum(tch::Kind::Double).double_value(&[]))
        };
        (1..ids.len()).map(place).collect::<Vec<_>>()
    };
    let of_all = |texts: &[Vec<i64>]| texts.iter().flat_map(|ids| places(ids)).collect::<Vec<_>>();
    let free = of_all(&sample(None, None, 1.0, 1));
    assert!(
        free.iter().any(|(rank, _)| *rank >= 3) && free.iter().any(|(_, before)| *before >= 0.6),
        "{free:?}"
    );
    let three = of_all(&sample(Some(3), None, 1.0, 1));
    assert!(three.iter().all(|(rank, _)| *rank < 3) && three.iter().any(|(rank, _)| *rank == 2), "{three:?}");
    let nucleus = of_all(&sample(None, Some(0.6), 1.0, 1));
    assert!(nucleus.iter().all(|(_, before)| *before < 0.6), "{nucleus:?}");
    assert!(nucleus.iter().any(|(rank, _)| *rank > 0), "{nucleus:?}");
    // As cold as can be it is greedy, however it is drawn.
    let greedy = Decoding { method: Method::Greedy, captions: 1, ..base.clone() };
    let greedy = texts(&model, &image, &[], &greedy)[0][0].ids.clone();
    assert!(sample(None, None, 1e-4, 1).iter().all(|ids| *ids == greedy));
    assert_ne!(sample(None, None, 1.0, 1), sample(None, None, 1.0, 2));
    assert_eq!(sample(None, None, 1.0, 2), sample(None, None, 1.0, 2));
}

/// Beam search written as plainly as it can be, each step by the whole forward pass: open texts, and finished ones of
/// which the best `beams` stay.
fn plain_search(
    model: &CoCa,
    image: i64,
    special: SpecialIds,
    prompt: &[i64],
    by: &Decoding,
) -> Vec<(f64, Vec<i64>)> {
    let Method::Beam { beams, length_penalty, .. } = by.method else { panic!() };
    let (beams, max_len) = (beams as usize, by.max_len as usize);
    let given = 1 + prompt.len();
    let score = |sum: f64, length: usize| sum / ((length - given) as f64).powf(length_penalty);
    let mut open = vec![(0.0, [&[special.sot], prompt].concat())];
    let mut finished: Vec<(f64, Vec<i64>)> = Vec::new();
    for length in given..max_len {
        let mut ways: Vec<(f64, Vec<i64>)> = Vec::new();
        for (sum, ids) in &open {
            let logits = rows(model, image, ids).i(length as i64 - 1);
            let log_p: Vec<f64> = Vec::try_from(logits.log_softmax(-1, tch::Kind::Double)).unwrap();
            for (id, p) in (0i64..).zip(log_p) {
                if id != special.eot || length >= by.min_len as usize {
                    ways.push((sum + p, [&ids[..], &[id]].concat()));
                }
            }
        }
        ways.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = ways[0].0;
        let ends = |ids: &[i64]| ids.last() == Some(&special.eot);
        finished.extend(
            ways.iter()
                .take(beams)
                .filter(|(_, ids)| ends(ids))
                .map(|(sum, ids)| (score(*sum, ids.len()), ids.clone())),
        );
        finished.sort_by(|a, b| b.0.total_cmp(&a.0));
        finished.truncate(beams);
        open = ways.into_iter().filter(|(_, ids)| !ends(ids)).take(beams).collect();
        if finished.len() == beams && finished[beams - 1].0 >= score(best, length + 1) {
            open.clear();
            break;
        }
    }
    finished.extend(open.into_iter().map(|(sum, ids)| (score(sum, ids.len()), ids)));
    finished.sort_by(|a, b| b.0.total_cmp(&a.0));
    finished.truncate(by.captions as usize);
    finished
}

#[test]
fn beam_search_equals_a_plain_one_without_caches() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 3);
    let special = early_end(&model, &image);
    let mut ended = 0;
    for (size, captions, min_len, max_len, length_penalty, prompt) in [
        (1, 1, 0, 8, 1.0, &[][..]),
        (3, 3, 0, 9, 1.0, &[]),
        (4, 2, 5, 9, 1.0, &[]),
        (4, 4, 3, 8, 0.0, &[7]),
        (5, 1, 0, 10, 2.0, &[7, 8]),
        (6, 6, 0, 7, 0.5, &[]),
    ] {
        let method = Method::Beam { beams: size, groups: 1, diversity_penalty: 0.0, length_penalty };
        let by = Decoding { method, captions, min_len, max_len, ..Decoding::default() };
        let all = generate(&model, &image, special, prompt, &by, &mut |_| ControlFlow::Continue(())).unwrap();
        for (i, ours) in all.iter().enumerate() {
            let plain = plain_search(&model, i as i64, special, prompt, &by);
            let ids = |texts: &[(f64, Vec<i64>)]| texts.iter().map(|t| t.1.clone()).collect::<Vec<_>>();
            let ours: Vec<(f64, Vec<i64>)> = ours.iter().map(|t| (t.score, t.ids.clone())).collect();
            assert_eq!(ids(&ours), ids(&plain), "{by:?}, image {i}: {ours:?} {plain:?}");
            for (a, b) in ours.iter().zip(&plain) {
                assert!((a.0 - b.0).abs() < 1e-4, "{by:?}: {ours:?} {plain:?}");
                ended += usize::from(a.1.last() == Some(&special.eot));
            }
        }
    }
    assert!(ended > 5, "only {ended} texts ended before the longest length");
}

#[test]
fn steps_are_told_and_can_be_cancelled() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 3);
    let draw = Method::Sample { top_k: Some(5), top_p: None };
    for (method, captions) in
        [(Method::Greedy, 1), (beams(4, 1), 1), (beams(4, 1), 3), (draw.clone(), 1), (draw, 3)]
    {
        let by = Decoding { method, captions, max_len: 9, min_len: 8, ..Decoding::default() };
        let mut seen = Vec::new();
        let mut hear = |p: &Progress| {
            let all = || p.texts.iter().flatten();
            assert!(all().all(|ids| ids.len() == p.length && ids[0] == 95), "{p:?}");
            assert_eq!(p.texts.iter().map(Vec::len).max(), Some(by.captions as usize), "{by:?}");
            seen.push((p.length, p.texts.len()));
            if p.length == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let cancelled = generate(&model, &image, SPECIAL, &[], &by, &mut hear);
        assert!(matches!(cancelled, Err(GenerateError::Cancelled)));
        assert_eq!(seen, [(2, 3), (3, 3), (4, 3), (5, 3)]);
    }
}

#[test]
fn settings_that_do_not_fit_are_errors() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let image = tokens(&model, 1);
    let good = Decoding { max_len: 13, ..Decoding::default() };
    let said = |special, prompt: &[i64], by: &Decoding| {
        let out = generate(&model, &image, special, prompt, by, &mut |_| ControlFlow::Continue(()));
        out.map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(said(SPECIAL, &[3], &good), Ok(()));
    let open_clip = Decoding { compat: Some(Compat::OpenClip33), ..good.clone() };
    for (special, prompt, by, part) in [
        (SPECIAL, &[][..], Decoding { max_len: 14, ..good.clone() }, "at most 13"),
        (SpecialIds { sot: 97, ..SPECIAL }, &[], good.clone(), "vocabulary"),
        (SPECIAL, &[97], good.clone(), "prompt id 97"),
        (SPECIAL, &[1; 12], good.clone(), "at most 11 fit"),
        (SPECIAL, &[], Decoding { temperature: 0.0, ..good.clone() }, "temperature"),
        (SPECIAL, &[], Decoding { method: beams(60, 1), ..good.clone() }, "60 beams"),
        (SPECIAL, &[], Decoding { method: beams(1, 1), ..open_clip }, "2 beams or more"),
    ] {
        let said = said(special, prompt, &by).unwrap_err();
        assert!(said.contains(part), "{said}");
    }
}

/// Two captions of 12 ids, the logits of every row by the whole forward pass [2,12,V], and the images' tokens.
fn whole_pass(model: &CoCa) -> (Tensor, Tensor, ImageTokens) {
    let image = golden()["image"].i(0..2);
    let ids =
        Tensor::from_slice(&[95i64, 5, 0, 7, 8, 0, 0, 9, 3, 1, 2, 96, 95, 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10]);
    let ids = ids.view([2, 12]);
    let whole = TextBatch::whole(&ids, &model.config, Device::Cpu).unwrap();
    tch::no_grad(|| {
        let expected = model.forward(&image, &whole, false).unwrap().logits_btv;
        (ids, expected, model.encode_image(&image).unwrap())
    })
}

/// Logits after each token, by caches and by the whole prefix, pads inside the text and both masks included;
/// a prompt of several tokens at once, too.
#[test]
fn cached_logits_equal_the_whole_forward_pass() {
    for correct in [false, true] {
        let (mut config, parameters) = tiny();
        config.text.correct_cls_mask = correct;
        let model = CoCa::new(config, &parameters).unwrap();
        let (ids, expected, tokens) = whole_pass(&model);
        for prompt in [1, 4, 12] {
            let mut decoding = Incremental::new(&model, &tokens, 12).unwrap();
            let mut fed = 0;
            while fed < 12 {
                let new = if fed == 0 { prompt } else { 1 };
                let logits = decoding.advance(&list(&ids.narrow(1, fed, new))).unwrap();
                fed += new;
                let worst = difference(&logits, &expected.select(1, fed - 1));
                assert!(worst <= 1e-5, "correct mask {correct}, prompt {prompt}, position {fed}: {worst:e}");
            }
            assert!(decoding.advance(&list(&ids.narrow(1, 0, 1))).is_err(), "full");
        }
    }
}

/// The same with a model whose sizes fit the loops that do a block in one call.
#[test]
fn a_block_in_one_call_equals_the_operators() {
    let (tiny, _) = tiny();
    let mut config = tiny;
    (config.embed_dim, config.text.width, config.decoder.width) = (64, 64, 64);
    for (correct, laid_out) in [(false, false), (true, false), (false, true)] {
        config.text.correct_cls_mask = correct;
        let (model, _parameters) = CoCa::initialise(config.clone(), 3, Device::Cpu).unwrap();
        let (ids, expected, tokens) = whole_pass(&model);
        if laid_out {
            model.lay_out_for_captions().unwrap();
            let again = whole_pass(&model).1;
            assert!(difference(&again, &expected) <= 1e-5, "the matrices are others");
        }
        let mut one_by_one = Incremental::new(&model, &tokens, 12).unwrap();
        for at in 0..12 {
            let logits = one_by_one.advance(&list(&ids.narrow(1, at, 1))).unwrap();
            let worst = difference(&logits, &expected.select(1, at));
            assert!(worst <= 1e-5, "correct mask {correct}, position {at}: {worst:e}");
        }
        // Three rows an image, of which one goes on.
        let mut beams = Incremental::new(&model, &tokens, 12).unwrap();
        let _ = beams.advance(&[95, 95]).unwrap();
        beams.follow(&[0, 0, 0, 1, 1, 1], 3).unwrap();
        let _ = beams.advance(&[1, 5, 2, 3, 4, 1]).unwrap();
        beams.follow(&[1, 1, 1, 5, 5, 5], 3).unwrap();
        let logits = beams.advance(&[0, 1, 2, 2, 3, 4]).unwrap();
        let of = |row: i64, position: i64| expected.i((row, position));
        assert!(difference(&logits.i(0), &of(0, 2)) <= 1e-5 && difference(&logits.i(3), &of(1, 2)) <= 1e-5);
    }
    // They were taken, not passed by.
    let (model, _parameters) = CoCa::initialise(config, 3, Device::Cpu).unwrap();
    let block = &model.text.blocks()[0];
    let room = || Tensor::zeros([2, 4, 6, 16], (tch::Kind::Float, Device::Cpu));
    let mut x = Tensor::ones([2, 1, 64], (tch::Kind::Float, Device::Cpu));
    let (keys, values, mut steps) = (room(), room(), Steps::default());
    let kept = Kept::Text { keys: &keys, values: &values, filled: 0, open_r11k: None };
    assert!(tch::no_grad(|| block.step(&mut steps, &mut x, kept)));
    assert!(!block.step(&mut steps, &mut x, kept), "not where gradients are recorded");
    steps.run().unwrap();
    assert!(difference(&x, &Tensor::ones_like(&x)) > 0.0);
}

/// Rows of one image, moved about as beams are, equal rows that went that way from the start.
#[test]
fn rows_can_be_reordered_within_their_image() {
    let (config, parameters) = tiny();
    let model = CoCa::new(config, &parameters).unwrap();
    let tokens = tch::no_grad(|| model.encode_image(&golden()["image"].i(0..2)).unwrap());
    let mut beams = Incremental::new(&model, &tokens, 8).unwrap();
    let _ = beams.advance(&[95, 95]).unwrap();
    beams.follow(&[0, 0, 1, 1], 2).unwrap();
    let _ = beams.advance(&[3, 0, 5, 6]).unwrap();
    beams.follow(&[1, 1, 3, 2], 2).unwrap();
    let moved = beams.advance(&[7, 8, 9, 10]).unwrap();

    let mut straight = Incremental::new(&model, &tokens, 8).unwrap();
    let _ = straight.advance(&[95, 95]).unwrap();
    straight.follow(&[0, 0, 1, 1], 2).unwrap();
    let _ = straight.advance(&[0, 0, 6, 5]).unwrap();
    let expected = straight.advance(&[7, 8, 9, 10]).unwrap();
    assert!(difference(&moved, &expected) <= 1e-6);
    assert!(difference(&moved.i(0), &moved.i(1)) > 1e-3, "rows differ");

    // The second image goes on by itself.
    beams.follow(&[2, 3], 2).unwrap();
    let alone = beams.advance(&[11, 12]).unwrap();
    let together = straight.advance(&[1, 1, 11, 12]).unwrap();
    assert!(difference(&alone, &together.narrow(0, 2, 2)) <= 1e-6);
    assert!(beams.follow(&[0, 2], 2).is_err() && beams.follow(&[0, 1, 1], 2).is_err());
}

fn list(ids: &Tensor) -> Vec<i64> {
    Vec::try_from(ids.contiguous().view(-1)).unwrap()
}
