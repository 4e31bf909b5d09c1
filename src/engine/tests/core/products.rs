//! The shim's own matrix products against libtorch's, and their gradients.

use engine::shim;
use tch::{Device, Kind, Tensor};

fn random(size: &[i64], seed: u64) -> Tensor {
    let mut t = Tensor::empty(size, (Kind::Float, Device::Cpu));
    shim::fill_normal(&mut t, 0.0, 1.0, seed).unwrap();
    t
}

fn same(name: &str, a: &Tensor, b: &Tensor) {
    assert_eq!(a.size(), b.size(), "{name}");
    let most = (a - b).abs().max().double_value(&[]);
    let scale = b.abs().max().double_value(&[]);
    assert!(most <= 1e-5 * scale, "{name}: {most} of {scale}");
}

/// Sizes above and below where oneDNN takes over; a part of a packed weight; no bias.
#[test]
fn a_linear_layer_and_its_gradients_are_libtorchs() {
    for (rows, inputs, outputs) in [(130, 96, 160), (3, 8, 5), (64, 512, 48)] {
        let leaf = |size: &[i64], seed| random(size, seed).set_requires_grad(true);
        let run = |ours: bool| {
            let (x, bias) = (leaf(&[2, rows, inputs], 1), leaf(&[outputs], 3));
            let packed = leaf(&[2 * outputs, inputs], 2);
            let w = packed.narrow(0, outputs, outputs);
            let y = match ours {
                true => shim::linear(&x, &w, Some(&bias)).unwrap() + shim::linear(&x, &w, None).unwrap(),
                false => x.linear(&w, Some(&bias)) + x.linear(&w, None::<&Tensor>),
            };
            (&y * random(&y.size(), 4)).sum(Kind::Float).backward();
            [y, x.grad(), packed.grad(), bias.grad()]
        };
        let names = ["y", "x's gradient", "w's gradient", "the bias's gradient"];
        for ((name, ours), theirs) in names.iter().zip(run(true)).zip(run(false)) {
            same(&format!("{name}, {rows} rows"), &ours, &theirs);
        }
    }
}

#[test]
fn a_product_and_its_gradients_are_libtorchs() {
    let run = |ours: bool| {
        let x = random(&[130, 96], 1).set_requires_grad(true);
        let w = random(&[96, 160], 2).set_requires_grad(true);
        let y = if ours { shim::product(&x, &w).unwrap() } else { x.matmul(&w) };
        (&y * random(&y.size(), 4)).sum(Kind::Float).backward();
        [y, x.grad(), w.grad()]
    };
    for (ours, theirs) in run(true).iter().zip(run(false)) {
        same("product", ours, &theirs);
    }
    // Few rows without gradients, both layouts, and a width that is no multiple of the lanes.
    tch::no_grad(|| {
        for (rows, inputs, outputs) in
            [(1, 64, 70), (5, 96, 300), (16, 512, 33), (20, 24, 40), (11, 2048, 512)]
        {
            let (x, w) = (random(&[rows, inputs], 5), random(&[outputs, inputs], 6));
            let bias = random(&[outputs], 7);
            same("few rows", &shim::linear(&x, &w, None).unwrap(), &x.linear(&w, None::<&Tensor>));
            let laid = w.tr().contiguous().tr();
            same(
                "few rows, inputs first",
                &shim::linear(&x, &laid, Some(&bias)).unwrap(),
                &x.linear(&w, Some(&bias)),
            );
            let w = w.tr().contiguous();
            same("few rows, transposed", &shim::product(&x, &w).unwrap(), &x.matmul(&w));
        }
    });
}

/// In huge pages or not, used again or not: what is written stays.
#[test]
fn big_tensors_keep_what_they_hold() {
    shim::keep_big_blocks().unwrap();
    shim::keep_big_blocks().unwrap();
    let mut held: Vec<(f64, Tensor)> = Vec::new();
    for i in 0..200u32 {
        let size = i64::from(1 + (i * 7919) % 13) * 200_000;
        held.push((f64::from(i), Tensor::full([size], f64::from(i), (Kind::Float, Device::Cpu))));
        if i % 3 == 0 {
            let _ = held.swap_remove((i as usize * 31) % held.len());
        }
        if held.len() > 12 {
            let _ = held.remove(0);
        }
    }
    for (value, tensor) in held {
        assert_eq!((tensor.min().double_value(&[]), tensor.max().double_value(&[])), (value, value));
    }
}
