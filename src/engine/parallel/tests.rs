use std::os::fd::IntoRawFd;

use super::*;

/// Runs `work` on so many ranks, each a thread of its own with its own groups.
fn on_ranks<T: Send>(size: u32, timeout: u64, work: impl Fn(Mesh) -> T + Sync) -> Vec<T> {
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
                    };
                    work(Mesh::meet(&at, rank, size).unwrap())
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
        let reducer = Reducer::new(&mesh.groups.as_ref().unwrap().gradients, &p, 16).unwrap();
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
