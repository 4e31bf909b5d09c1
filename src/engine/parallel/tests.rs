use std::os::fd::IntoRawFd;

use super::*;

/// Runs `work` on so many ranks, each a thread of its own with its own groups.
pub(crate) fn on_ranks<T: Send>(size: u32, timeout: u64, work: impl Fn(Mesh) -> T + Sync) -> Vec<T> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fd = listener.into_raw_fd();
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..size)
            .map(|rank| {
                let work = &work;
                scope.spawn(move || {
                    let at = Rendezvous {
                        host: "127.0.0.1".to_owned(),
                        port,
                        interface: "127.0.0.1".to_owned(),
                        generation: 1,
                        listener: (rank == 0).then_some(fd),
                        timeout,
                        joint: None,
                    };
                    let degrees = Degrees { data_parallel: size, sharding: 1, tensor_parallel: 1 };
                    work(Mesh::meet(&at, rank, degrees).unwrap())
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn rank_0_is_heard_and_sums_are_sums() {
    let heard = on_ranks(3, 60, |mesh| {
        let mut sum = Tensor::from_slice(&[mesh.rank() as f32, 1.0]);
        mesh.sum(&mut sum).unwrap();
        (mesh.agree(vec![mesh.rank()], false).unwrap(), <Vec<f32>>::try_from(sum).unwrap())
    });
    assert!(heard.iter().all(|h| *h == (vec![0], vec![3.0, 3.0])), "{heard:?}");
}

#[test]
fn only_loopback_listens() {
    let before = open_ports();
    on_ranks(2, 60, |mesh| {
        for address in open_ports().iter().filter(|a| !before.contains(*a)) {
            assert!(address.starts_with("0100007F:"), "open beyond loopback: {address}");
        }
        assert!(open_ports().iter().any(|a| !before.contains(a)), "nothing listens");
        let _ = mesh.agree((), false);
    });
}

/// Addresses that this process listens at, as /proc has them.
fn open_ports() -> Vec<String> {
    let own: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let lines: String = tables.iter().filter_map(|t| std::fs::read_to_string(t).ok()).collect();
    lines
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>())
        .filter(|f| {
            f.get(3) == Some(&"0A") && f.get(9).is_some_and(|n| own.contains(&format!("socket:[{n}]")))
        })
        .map(|f| f[1].to_owned())
        .collect()
}

#[test]
fn gradients_flow_through_gathered_rows() {
    // loss_r = sum((r + 1) * all rows): every row's gradient is the sum over ranks of (r + 1).
    let gradients = on_ranks(2, 60, |mesh| {
        let own = Tensor::from_slice(&[1f32, 2.0]).view([1, 2]).set_requires_grad(true);
        let all = mesh.gather_rows(&own).unwrap();
        assert_eq!(all.size(), [2, 2]);
        (all.sum(Kind::Float) * (mesh.rank() as f64 + 1.0)).backward();
        <Vec<f32>>::try_from(own.grad().view([2])).unwrap()
    });
    assert_eq!(gradients, [[3.0, 3.0], [3.0, 3.0]]);
}

#[test]
fn buckets_sum_and_leave_out_what_nobody_trained() {
    let seen = on_ranks(2, 60, |mesh| {
        let p: Vec<Tensor> = [3, 5, 4]
            .iter()
            .map(|n| Tensor::ones([*n], (Kind::Float, Device::Cpu)).set_requires_grad(true))
            .collect();
        // Small buckets: each parameter has its own, in more than one size.
        let groups = mesh.groups.as_ref().unwrap();
        let (gradients, features) = (groups.gradients.as_ref().unwrap(), groups.features.as_ref().unwrap());
        let reducer = Reducer::new(gradients, &features.host, &p, 16).unwrap();
        let mut out: Vec<Vec<Option<f64>>> = Vec::new();
        for _ in 0..2 {
            crate::shim::clear_gradients(&p).unwrap();
            let factor = mesh.rank() as f64 + 1.0;
            // A micro-step before the last: its gradients count too.
            (p[0].sum(Kind::Float) * factor).backward();
            reducer.arm().unwrap();
            let mut loss = p[0].sum(Kind::Float) * factor;
            if mesh.rank() == 1 {
                loss += p[2].sum(Kind::Float) * 10.0;
            }
            loss.backward();
            reducer.finish().unwrap();
            let found = crate::shim::gradients(&p).unwrap();
            out.push(
                found.into_iter().map(|g| g.map(|g| f64::try_from(g.mean(Kind::Float)).unwrap())).collect(),
            );
        }
        out
    });
    let expected = vec![Some(6.0), None, Some(10.0)];
    assert_eq!(seen, vec![vec![expected.clone(), expected.clone()]; 2]);
}

#[test]
fn a_silent_rank_and_a_gone_one_are_told_apart() {
    let seen = on_ranks(2, 1, |mesh| {
        if mesh.rank() == 1 {
            std::thread::sleep(Duration::from_secs(3));
            return None;
        }
        let error = mesh.sum(&mut Tensor::from(1f32)).unwrap_err();
        cause(&error.to_string())
    });
    assert_eq!(seen[0], Some(Cause::Silence));
    let seen = on_ranks(2, 60, |mesh| {
        if mesh.rank() == 1 {
            return None;
        }
        let error = mesh.sum(&mut Tensor::from(1f32)).unwrap_err();
        cause(&error.to_string())
    });
    assert_eq!(seen[0], Some(Cause::Gone));
}

#[test]
fn a_rank_that_rests_is_no_hung_one() {
    let heard = on_ranks(2, 1, |mesh| {
        if mesh.is_first() {
            std::thread::sleep(Duration::from_secs(3));
        }
        mesh.agree(mesh.rank(), true).unwrap()
    });
    assert_eq!(heard, [0, 0]);
}

/// The mean over its elements of everything, as plain numbers.
fn numbers(t: &Tensor) -> Vec<f32> {
    <Vec<f32>>::try_from(t.detach().flatten(0, -1)).unwrap()
}

#[test]
fn shards_gather_free_and_sum() {
    use crate::shim::shards::Shards;
    for frees in [false, true] {
        let seen = on_ranks(2, 60, |mesh| {
            let groups = mesh.groups.as_ref().unwrap();
            let shards = Shards::new(&groups.features.as_ref().unwrap().host, None, frees).unwrap();
            // 5 numbers on 2 ranks: one of padding.
            let whole =
                [Tensor::from_slice(&[1f32, 2.0]), Tensor::from_slice(&[3f32, 4.0, 5.0]).view([3, 1])];
            let leaves = shards.add(&whole.map(|t| t.set_requires_grad(true))).unwrap();
            let (between, _) = shards.bytes().unwrap();
            shards.gather(0).unwrap();
            let here: Vec<f32> = leaves.iter().flat_map(numbers).collect();
            let factor = mesh.rank() as f64 + 1.0;
            for _ in 0..2 {
                (leaves[1].sum(Kind::Float) * factor).backward();
                shards.reduce(0).unwrap();
            }
            let touched = shards.finish(2).unwrap();
            shards.release(0).unwrap();
            let gradient = numbers(&shards.gradient(0).unwrap().unwrap());
            // An update of the own part reaches everybody.
            let _ = shards.shard(0).unwrap().g_add_scalar_(10.0 * factor);
            shards.publish().unwrap();
            shards.gather(0).unwrap();
            let after: Vec<f32> = leaves.iter().flat_map(numbers).collect();
            shards.release(0).unwrap();
            (between, here, touched, gradient, after)
        });
        for (rank, (between, here, touched, gradient, after)) in seen.into_iter().enumerate() {
            assert_eq!(between, if frees { 12 } else { 24 });
            assert_eq!(here, [1.0, 2.0, 3.0, 4.0, 5.0]);
            assert_eq!(touched, [0.0, 1.0]);
            assert_eq!(gradient, [[0.0, 0.0, 6.0], [6.0, 6.0, 0.0]][rank]);
            assert_eq!(after, [11.0, 12.0, 13.0, 24.0, 25.0]);
        }
    }
}

#[test]
fn the_next_unit_is_on_its_way_while_one_computes() {
    use crate::shim::shards::Shards;
    let seen = on_ranks(2, 60, |mesh| {
        let groups = mesh.groups.as_ref().unwrap();
        let shards = Shards::new(&groups.features.as_ref().unwrap().host, None, true).unwrap();
        let leaves: Vec<Tensor> = (0..3u8)
            .map(|unit| {
                let whole = Tensor::full([4], i64::from(unit), (Kind::Float, Device::Cpu));
                shards.add(&[whole.set_requires_grad(true)]).unwrap().remove(0)
            })
            .collect();
        let step = |order: &[usize]| {
            let before = shards.came_ahead();
            shards.clear().unwrap();
            for unit in order {
                shards.gather(*unit).unwrap();
                assert_eq!(numbers(&leaves[*unit]), [*unit as f32; 4]);
                shards.release(*unit).unwrap();
            }
            let _ = shards.finish(3).unwrap();
            let ahead = shards.came_ahead() - before;
            // Nothing is held between steps: 2 numbers of each of 3 units.
            assert_eq!(shards.bytes().unwrap().0, 24);
            ahead
        };
        // Learned in the first step; another order is only slower, and an update of a shard is always seen.
        let counts = [step(&[0, 1, 2, 1, 0]), step(&[0, 1, 2, 1, 0]), step(&[0, 2, 1]), step(&[0, 2, 1])];
        let _ = shards.shard(1).unwrap().fill_(1.0);
        (counts, step(&[0, 2, 1]))
    });
    assert_eq!(seen, [([0, 4, 0, 2], 2); 2]);
}

#[test]
fn a_segment_computed_again_is_exact_random_numbers_included() {
    use crate::shim::segment::Segment;
    let options = (Kind::Float, Device::Cpu);
    let weight = Tensor::from_slice(&[0.5f32, -1.0, 2.0]).set_requires_grad(true);
    let run = |again: Option<bool>| {
        tch::manual_seed(7);
        crate::shim::clear_gradients(std::slice::from_ref(&weight)).unwrap();
        let x = (Tensor::ones([4, 3], options) * 3.0).set_requires_grad(true);
        let of = {
            let weight = weight.shallow_clone();
            move |of: &[Tensor]| (of[0].square() * &weight).dropout(0.5, true)
        };
        let y = match again {
            None => of(&[x.shallow_clone()]),
            Some(again) => Segment { unit: None, again }.run(&[x.shallow_clone()], of).unwrap(),
        };
        // What comes between forward and backward draws, too.
        let after = Tensor::rand([2], options);
        (y.square().sum(Kind::Float)).backward();
        let later = Tensor::rand([2], options);
        [y, after, later, x.grad(), weight.grad()].map(|t| numbers(&t))
    };
    let plain = run(None);
    assert_eq!(run(Some(false)), plain);
    assert_eq!(run(Some(true)), plain);
}

#[test]
fn a_panic_within_a_segment_is_an_error_with_its_words() {
    use crate::shim::segment::Segment;
    let x = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let segment = Segment { unit: None, again: true };
    let error = segment.run(&[x], |of| of[0].matmul(&Tensor::ones([3, 3], (Kind::Float, Device::Cpu))));
    assert!(error.unwrap_err().to_string().contains("3x3"));
}
