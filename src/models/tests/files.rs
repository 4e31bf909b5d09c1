//! Weight files of every format against one reference, and files that mean harm.
//!
//! Fixtures: tests/fixtures/weights, written by PyTorch, open_clip and PaddlePaddle (tools/peer/fixtures).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use models::{CoCaConfig, Dtype, Format, WeightsFile, parameter_specs};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/weights").join(name)
}

fn mini() -> CoCaConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/peer/fixtures/mini.json");
    CoCaConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every parameter of `file` equals the reference's within `tolerance` of its size.
fn equals(file: &Path, tolerance: f32) {
    let reference = WeightsFile::open(&fixture("torch/model.safetensors")).unwrap();
    let file = WeightsFile::open(file).unwrap();
    let specs = parameter_specs(&mini());
    file.check_model(&specs).unwrap();
    for spec in &specs {
        let data = file.parameter(spec).unwrap();
        let numbers = data.dtype.to_f32(&data.bytes).unwrap();
        let expected = reference.floats(&spec.name).unwrap();
        assert_eq!(numbers.len(), expected.len(), "{}", spec.name);
        for (a, b) in numbers.iter().zip(&expected) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1e-3), "{}: {a} {b}", spec.name);
        }
    }
}

#[test]
fn every_form_of_pytorch_holds_the_same_model() {
    let exact = ["zip.pt", "legacy.pt", "nested.pt", "nested_legacy.pt", "parameters.pt", "strided.pt"];
    for name in exact {
        equals(&fixture("torch").join(name), 0.0);
    }
    for (name, tolerance) in [("bf16.pt", 0.004), ("bf16.safetensors", 0.004), ("fp16.bin", 0.0006)] {
        equals(&fixture("torch").join(name), tolerance);
    }
    let format = |name: &str| WeightsFile::open(&fixture("torch").join(name)).unwrap().format();
    assert_eq!((format("zip.pt"), format("nested_legacy.pt")), (Format::TorchZip, Format::TorchLegacy));
}

#[test]
fn numbers_stay_in_the_mapped_file() {
    for name in ["model.safetensors", "zip.pt", "legacy.pt"] {
        let file = WeightsFile::open(&fixture("torch").join(name)).unwrap();
        for tensor in file.tensors() {
            let data = file.data(&tensor.name).unwrap();
            assert!(matches!(data.bytes, std::borrow::Cow::Borrowed(_)), "{name}: {}", tensor.name);
        }
    }
}

#[test]
fn paddlemix_folders_are_models() {
    let folder = fixture("paddle");
    let source = models::find(folder.to_str().unwrap(), None, Path::new("runs")).unwrap();
    // The config says the same as open_clip's of this shape.
    assert_eq!(parameter_specs(&source.config), parameter_specs(&mini()));
    assert_eq!(source.config.vision.attn_pooler_queries, 5);
    let specs = parameter_specs(&source.config);
    let exact = WeightsFile::open(source.weights.as_deref().unwrap()).unwrap();
    exact.check_model(&specs).unwrap();
    // Bytes written as text.
    let text = WeightsFile::open(&folder.join("protocol2.pdparams")).unwrap();
    assert_eq!(text.tensors().len(), exact.tensors().len());
    for spec in &specs {
        let (a, b) = (text.parameter(spec).unwrap(), exact.parameter(spec).unwrap());
        assert_eq!((a.dtype, &a.shape, &a.bytes), (b.dtype, &b.shape, &b.bytes), "{}", spec.name);
    }
    let half = WeightsFile::open(&folder.join("bf16.pdparams")).unwrap();
    half.check_model(&specs).unwrap();
    for spec in &specs {
        let data = half.parameter(spec).unwrap();
        assert_eq!(data.dtype, Dtype::BF16);
        let pairs = data.dtype.to_f32(&data.bytes).unwrap();
        for (a, b) in pairs.iter().zip(exact.floats(&spec.name).unwrap()) {
            assert!((a - b).abs() <= 0.008 * b.abs() + 1e-6, "{}: {a} {b}", spec.name);
        }
    }
}

#[test]
fn what_does_not_fit_is_named_and_a_config_of_another_model_fills_no_screen() {
    let file = WeightsFile::open(&fixture("torch/model.safetensors")).unwrap();
    let mut specs = parameter_specs(&mini());
    let said = |specs: &[models::ParameterSpec]| file.check_model(specs).unwrap_err().to_string();
    let last = specs.pop().unwrap();
    let told = said(&specs);
    assert!(told.contains("differences: 1\n") && told.lines().count() == 2, "{told}");
    assert!(
        told.contains(&format!("{}: shape {:?} in the file, not in the model", last.name, last.shape)),
        "{told}"
    );
    specs.push(models::ParameterSpec { shape: vec![3, 1], ..last.clone() });
    let told = said(&specs);
    assert!(told.contains(&format!("shape {:?} in the file, [3, 1] in the model", last.shape)), "{told}");
    let other = said(&parameter_specs(&models::CoCaConfig::named("coca_ViT-B-32").unwrap()));
    assert!(other.lines().count() < 50 && other.contains("models inspect"), "{other}");
}

#[test]
fn positions_are_resized_as_open_clip_does() {
    let expected = WeightsFile::open(&fixture("torch/resized.safetensors")).unwrap();
    let file = WeightsFile::open(&fixture("torch/model.safetensors")).unwrap();
    let close = |new: &[f32], name: &str| {
        let expected = expected.floats(name).unwrap();
        assert_eq!(new.len(), expected.len(), "{name}");
        for (a, b) in new.iter().zip(expected) {
            assert!((a - b).abs() < 2e-6, "{name}: {a} {b}");
        }
    };
    for (image_size, context) in [(24, 8), (40, 13), (8, 5)] {
        let mut config = mini();
        config.vision.image_size = image_size;
        config.text.context_length = context;
        let specs = parameter_specs(&config);
        file.check_model(&specs).unwrap();
        for (tower, number) in [("visual", image_size), ("text", context)] {
            let name = format!("{tower}.positional_embedding");
            let spec = specs.iter().find(|s| s.name == name).unwrap();
            let data = file.parameter(spec).unwrap();
            assert_eq!(data.shape[0] as i64, spec.shape[0]);
            close(&data.dtype.to_f32(&data.bytes).unwrap(), &format!("{tower}.{number}"));
        }
    }
    let big = expected.floats("grid.16").unwrap();
    for grid in [7, 5] {
        close(&models::resize_image_positions(&big, 4, grid), &format!("grid.{grid}"));
    }
}

#[test]
fn converted_models_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["zip.pt", "nested_legacy.pt", "strided.pt", "model.safetensors"] {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/peer/fixtures/mini.json");
        let from = fixture("torch").join(name);
        let source = models::find(from.to_str().unwrap(), config.to_str(), Path::new("runs")).unwrap();
        let folder = dir.path().join(name).join("folder");
        models::convert(&source, &folder, None).unwrap();
        equals(&folder.join("open_clip_model.safetensors"), 0.0);
        // The folder is a model of its own: config and preprocessing lie in it.
        let again = models::find(folder.to_str().unwrap(), None, Path::new("runs")).unwrap();
        assert_eq!(parameter_specs(&again.config), parameter_specs(&source.config));
        assert_eq!(again.preprocess, source.preprocess);
        let file = dir.path().join(name).join("half.safetensors");
        models::convert(&again, &file, Some(Dtype::BF16)).unwrap();
        equals(&file, 0.004);
    }
    // PaddleMIX's config does not say what open_clip knows a CoCa by.
    let source = models::find(fixture("paddle").to_str().unwrap(), None, Path::new("runs")).unwrap();
    models::convert(&source, &dir.path().join("paddle"), None).unwrap();
    let config = std::fs::read(dir.path().join("paddle/open_clip_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let told = |at: &str| config.pointer(at).and_then(serde_json::Value::as_bool);
    for at in
        ["/model_cfg/custom_text", "/model_cfg/vision_cfg/output_tokens", "/model_cfg/text_cfg/output_tokens"]
    {
        assert_eq!(told(at), Some(true), "{at}");
    }
    // A model that does not fit is not written.
    let other = models::find(fixture("torch/zip.pt").to_str().unwrap(), Some("coca_demo"), Path::new("runs"))
        .unwrap();
    let error = models::convert(&other, &dir.path().join("no"), None).unwrap_err().to_string();
    assert!(error.contains("text.cls_emb: shape [16] in the file, ["), "{error}");
    assert!(!dir.path().join("no").exists());
}

/// A pickle of these opcodes in a zip archive as torch.save makes it, with one storage of 4 float32.
fn archive(pickle: &[u8]) -> Vec<u8> {
    zip(&[("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &[0; 16])])
}

fn zip(records: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in records {
        let at = out.len() as u32;
        let (n, size) = ((name.len() as u16).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
        let sizes = [size, size].concat();
        out.extend([b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".as_slice(), &[0; 4], &sizes, &n, &[0; 2]].concat());
        out.extend([name.as_bytes(), bytes].concat());
        let head =
            [b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0".as_slice(), &[0; 4], &sizes, &n, &[0; 12]].concat();
        directory.extend([head.as_slice(), &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = (records.len() as u16).to_le_bytes();
    let (size, at) = ((directory.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(&directory);
    out.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &size, &at, &[0; 2]].concat());
    out
}

/// A tensor "w": (storage of `numbers` at `key`, offset, shape of one axis, stride), as pickle opcodes.
fn tensor(key: &str, numbers: i32, offset: i32, length: i32, stride: i32) -> Vec<u8> {
    let int = |n: i32| [b"J".as_slice(), &n.to_le_bytes()].concat();
    let word = |s: &str| [b"X".as_slice(), &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        word("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        word(key),
        word("cpu"),
        int(numbers),
        b"tQ".to_vec(),
        int(offset),
        int(length),
        b"\x85".to_vec(),
        int(stride),
        b"\x85\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn state_dict(tensor: &[u8]) -> Vec<u8> {
    [b"\x80\x02}X\x01\0\0\0w".as_slice(), tensor, b"s."].concat()
}

fn open(bytes: &[u8]) -> Result<WeightsFile, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    std::fs::write(&path, bytes).unwrap();
    WeightsFile::open(&path).map_err(|e| e.to_string())
}

#[test]
fn hostile_files_are_errors_that_name_the_reason() {
    let good = archive(&state_dict(&tensor("0", 4, 0, 4, 1)));
    assert_eq!(open(&good).unwrap().tensors().len(), 1);

    let evil = b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.";
    let deep = [vec![b']'; 300_000], vec![b'a'; 299_999], vec![b'.']].concat();
    let many = [b"\x80\x02".as_slice(), &vec![b'N'; 3_000_000], b"."].concat();
    let marks = [b"\x80\x02".as_slice(), &vec![b'('; 3_000_000], b"."].concat();
    // A tuple of a hundred thousand values, copied by each of a hundred thousand calls.
    let copies = [
        b"\x80\x02ctorch\nSize\nq\0(".as_slice(),
        &vec![b'N'; 100_000],
        b"t\x85q\x01",
        &b"h\0h\x01R".repeat(100_000),
        b".",
    ]
    .concat();
    let recursive = b"\x80\x02}q\0X\x01\0\0\0wh\0s.";
    let dict_twice = [
        b"\x80\x02}(X\x01\0\0\0w".as_slice(),
        &tensor("0", 4, 0, 4, 1),
        b"X\x01\0\0\0w",
        &tensor("0", 4, 0, 4, 1),
        b"u.",
    ]
    .concat();
    let safetensors =
        |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 8]].concat();
    let mut deflated = good.clone();
    let central = deflated.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    deflated[central + 10] = 8;
    let mut bomb = good.clone();
    bomb[central + 24..central + 28].copy_from_slice(&0xf000_0000u32.to_le_bytes());
    let mut overlap = zip(&[
        ("a/data.pkl", &state_dict(&tensor("0", 4, 0, 4, 1))),
        ("a/data/0", &[0; 16]),
        ("a/data/1", &[0; 16]),
    ]);
    let last = overlap.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    let before = overlap[..last].windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    let place: Vec<u8> = overlap[before + 42..before + 46].to_vec();
    overlap[last + 42..last + 46].copy_from_slice(&place);

    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("os.system", archive(evil), "os.system"),
        ("copies of one tuple", archive(&copies), "more than"),
        (
            "bytes of other codes",
            b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf-7\x86R.".to_vec(),
            "Latin-1",
        ),
        ("bytes of anything", b"\x80\x02c__builtin__\nbytes\nK\x07\x85R.".to_vec(), "bytes made of"),
        ("os.system by STACK_GLOBAL", archive(b"\x80\x04\x8c\x02os\x8c\x06system\x93."), "os.system"),
        ("builtins.eval, bare", b"\x80\x04cbuiltins\neval\n.".to_vec(), "builtins.eval"),
        (
            "a dotted way out",
            archive(b"\x80\x02ctorch\nserialization.os.system\n."),
            "torch.serialization.os.system",
        ),
        ("INST", archive(b"\x80\x02(ios\nsystem\n."), "INST"),
        ("NEWOBJ", archive(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "NEWOBJ"),
        (
            "calls a tensor",
            archive(&[b"\x80\x02".as_slice(), &tensor("0", 4, 0, 4, 1), b")R."].concat()),
            "calls a tensor",
        ),
        ("deep", archive(&deep), "a list"),
        ("deep, as Paddle's", [b"\x80\x04".as_slice(), &deep].concat(), "a list"),
        ("many values", archive(&many), "more than"),
        ("many marks", archive(&marks), "more than"),
        ("a dict in itself", archive(recursive), "a dict, not a tensor"),
        ("empty stack", archive(b"\x80\x02."), "nothing is on the stack"),
        ("memo never set", archive(b"\x80\x02h\x07."), "memo 7"),
        ("a string of 4 GiB", archive(b"\x80\x02X\xff\xff\xff\xff."), "4294967295 bytes"),
        ("a string of 16 EiB", archive(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "bytes"),
        ("storage larger than its record", archive(&state_dict(&tensor("0", 5, 0, 4, 1))), "has 16 bytes"),
        ("storage not there", archive(&state_dict(&tensor("7", 4, 0, 4, 1))), "\"7\" is not in the file"),
        ("negative length", archive(&state_dict(&tensor("0", -4, 0, 4, 1))), "no size"),
        ("negative offset", archive(&state_dict(&tensor("0", 4, -1, 2, 1))), "offset"),
        ("negative stride", archive(&state_dict(&tensor("0", 4, 3, 4, -1))), "strides"),
        ("beyond its storage", archive(&state_dict(&tensor("0", 4, 2, 4, 1))), "storage"),
        (
            "stride beyond its storage",
            archive(&state_dict(&tensor("0", 4, 0, 4, 2))),
            "outside of its storage",
        ),
        ("expanded", archive(&state_dict(&tensor("0", 4, 0, i32::MAX, 0))), "expanded"),
        ("one name twice", archive(&dict_twice), "two tensors are named \"w\""),
        ("compressed", deflated, "compressed"),
        ("zip bomb", bomb, "compressed"),
        ("records that overlap", overlap, "overlap"),
        ("two records of one name", zip(&[("a/data.pkl", b"N."), ("a/data.pkl", b"N.")]), "two zip records"),
        ("TorchScript", zip(&[("a/data.pkl", b"N."), ("a/constants.pkl", b"N.")]), "TorchScript"),
        ("big-endian", zip(&[("a/data.pkl", b"N."), ("a/byteorder", b"big")]), "big-endian"),
        ("no data.pkl", zip(&[("a/b", b"N.")]), "no data.pkl"),
        ("zip cut off", good[..good.len() - 30].to_vec(), "damaged or cut off"),
        ("empty", Vec::new(), "empty"),
        ("header of 16 EiB", b"\xff\xff\xff\xff\xff\xff\xff\xff{}".to_vec(), "safetensors"),
        (
            "safetensors that overlap",
            safetensors(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            ),
            "safetensors",
        ),
        (
            "safetensors, one name twice",
            safetensors(
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            ),
            "safetensors",
        ),
        (
            "safetensors, shape that overflows",
            safetensors(r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}"#),
            "safetensors",
        ),
        (
            "Git LFS pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
            "Git LFS",
        ),
    ];
    for (what, bytes, reason) in cases {
        let error = open(&bytes).expect_err(what);
        assert!(error.contains(reason), "{what}: {error}");
    }
}

/// Real files with bytes changed, cut and repeated: never a panic, never more numbers than the file has bytes.
#[test]
fn mutated_files_never_panic() {
    let names = [
        "torch/zip.pt",
        "torch/nested_legacy.pt",
        "paddle/bf16.pdparams",
        "paddle/protocol2.pdparams",
        "torch/bf16.safetensors",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w");
    for name in names {
        let good = std::fs::read(fixture(name)).unwrap();
        // The structure, not the numbers: mostly the beginning and the end.
        for _ in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let near = random(4096).min(bytes.len() - 1);
                let at = match random(3) {
                    0 => near,
                    1 => bytes.len() - 1 - near,
                    _ => random(bytes.len()),
                };
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let end = (at + random(16)).min(bytes.len());
                        let part = bytes[at..end].to_vec();
                        bytes.splice(at..at, part);
                    }
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let Ok(file) = WeightsFile::open(&path) else { continue };
            for tensor in file.tensors() {
                let data = file.data(&tensor.name).unwrap();
                assert_eq!(data.bytes.len(), tensor.size());
                assert!(data.bytes.len() <= bytes.len());
            }
        }
    }
}
