//! Names, shapes and starts of the parameters.

use engine::model::{CoCaConfig, Init, Parameters, parameter_specs};
use tch::{Device, Kind};

/// Against the key lists of open_clip's state dicts (`name<TAB>shape`, blocks after the first left out).
#[test]
fn names_and_shapes_are_open_clips() {
    let cases = [
        ("coca_ViT-B-32", include_str!("../fixtures/keys_coca_ViT-B-32.txt"), 629, 253_560_065),
        ("coca_ViT-L-14", include_str!("../fixtures/keys_coca_ViT-L-14.txt"), 773, 638_450_177),
        ("coca_base", include_str!("../fixtures/keys_coca_base.txt"), 618, 440_337_409),
    ];
    for (model, keys, count, numbers) in cases {
        let specs = parameter_specs(&CoCaConfig::named(model).unwrap());
        assert_eq!(specs.len(), count, "{model}");
        assert_eq!(specs.iter().map(|s| s.numel()).sum::<i64>(), numbers, "{model}");
        let later_block =
            |name: &str| name.split('.').any(|part| part.parse::<i64>().is_ok_and(|block| block > 0));
        let ours: Vec<String> = specs
            .iter()
            .filter(|spec| !later_block(&spec.name))
            .map(|spec| format!("{}\t{:?}", spec.name, spec.shape))
            .collect();
        assert_eq!(ours, keys.lines().collect::<Vec<_>>(), "{model}");
    }
}

#[test]
fn a_start_is_a_function_of_seed_and_name() {
    let (config, _) = crate::common::tiny();
    let specs = parameter_specs(&config);
    let draw = |seed| Parameters::initialise(&specs, seed, Device::Cpu).unwrap();
    let (a, b, other) = (draw(7), draw(7), draw(8));
    for spec in &specs {
        let (a, b, other) = (a.get(&spec.name), b.get(&spec.name), other.get(&spec.name));
        let (a, b, other) = (a.unwrap(), b.unwrap(), other.unwrap());
        assert_eq!(a, b, "{}", spec.name);
        assert_eq!(a == other, matches!(spec.init, Init::Constant(_)), "{}", spec.name);
    }
    // Two blocks of one shape start differently.
    let block = |i| a.get(&format!("visual.transformer.resblocks.{i}.mlp.c_fc.weight")).unwrap();
    assert_ne!(block(0), block(1));
    // And a subset drawn alone is the same: what a shard needs.
    let last = &specs[specs.len() - 3..];
    let alone = Parameters::initialise(last, 7, Device::Cpu).unwrap();
    assert_eq!(alone.get(&last[0].name).unwrap(), a.get(&last[0].name).unwrap());
}

/// Standard deviations as open_clip's freshly made coca_ViT-B-32 has them (measured there), to 2 %.
#[test]
fn starts_spread_as_open_clips() {
    let config = CoCaConfig::named("coca_ViT-B-32").unwrap();
    let w = |width: f64| width.powf(-0.5);
    let uniform = |bound: f64| bound / 3f64.sqrt();
    let expected = [
        ("visual.conv1.weight", 0.0104),
        ("visual.proj", w(768.0)),
        ("visual.attn_pool.query", 1.0),
        ("visual.transformer.resblocks.3.attn.in_proj_weight", uniform((6.0f64 / (4.0 * 768.0)).sqrt())),
        ("visual.transformer.resblocks.3.mlp.c_proj.weight", uniform(w(3072.0))),
        ("visual.attn_pool.attn.k_proj_weight", uniform((6.0f64 / (512.0 + 768.0)).sqrt())),
        ("text.token_embedding.weight", 0.02),
        ("text.positional_embedding", 0.01),
        ("text.transformer.resblocks.5.attn.in_proj_weight", w(512.0)),
        ("text.transformer.resblocks.5.attn.out_proj.weight", w(512.0) * 24f64.powf(-0.5)),
        ("text.transformer.resblocks.5.mlp.c_fc.weight", 1024f64.powf(-0.5)),
        ("text_decoder.text_projection", w(512.0)),
        ("text_decoder.cross_attn.2.attn.out_proj.weight", uniform(w(512.0))),
    ];
    let specs: Vec<_> = parameter_specs(&config)
        .into_iter()
        .filter(|spec| expected.iter().any(|(name, _)| *name == spec.name))
        .collect();
    assert_eq!(specs.len(), expected.len());
    let parameters = Parameters::initialise(&specs, 0, Device::Cpu).unwrap();
    for (name, std) in expected {
        let t = parameters.get(name).unwrap();
        let found = t.std(true).double_value(&[]);
        assert!((found / std - 1.0).abs() < 0.02, "{name}: {found} instead of {std}");
        assert!(t.mean(Kind::Float).double_value(&[]).abs() < 0.02 * std, "{name}: mean");
    }
}
