//! Several supervisors of one run, as on several machines: they meet, wait, refuse, name the one that is gone.

use std::process::Child;

use run::events::{Body, Outcome, State};

use crate::parallel::{assert_close, curve, finished, tiny};
use crate::support::{Bench, Run, kill, wait, words};
use crate::training::{bench, flags, start};

/// A port that nobody listens at now.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Flags of one of two nodes.
fn node<'a>(rank: &'a str, port: &'a str) -> Vec<&'a str> {
    let steps = ["--max_steps", "20", "--save_steps", "7", "--collective_timeout", "60"];
    let place = ["--nnodes", "2", "--node_rank", rank, "--master_addr", "127.0.0.1", "--master_port", port];
    [&steps[..], &place].concat()
}

fn says(body: &Body, state: State, word: &str) -> bool {
    matches!(body, Body::State { state: s, message: Some(m), .. } if *s == state && m.contains(word))
}

#[test]
fn a_node_that_comes_late_is_awaited_and_one_that_dies_is_named_and_comes_back() {
    let (bench, model) = tiny();
    let mesh = ["--sharding", "stage3", "--per_device_train_batch_size", "4"];
    let more = [&model[..], &mesh].concat();
    let whole = curve(&finished(&bench, "whole", &[&more[..], &["--nproc_per_node", "2"]].concat()));
    let port = free_port();
    let first = start(&bench, "a", &[&node("0", &port)[..], &more].concat());
    first.wait_for("the wait", |b| says(b, State::Starting, "waiting at 127.0.0.1"));
    let words = first.wait_for("who is awaited", |b| says(b, State::Starting, "node 1 (rank 1)"));
    assert!(matches!(words.body, Body::State { step: 0, .. }));
    start(&bench, "a", &[&node("1", &port)[..], &more].concat());
    let second = bench.run("a-node1");
    first.wait_for("a step after a checkpoint", |b| matches!(b, Body::Metrics(m) if m.step >= 8));
    let layout = first.history().layout.unwrap();
    assert_eq!(layout.ranks.iter().map(|r| r.node).collect::<Vec<_>>(), [0, 1]);

    // The whole machine is gone: its supervisor, and with it its rank.
    kill(second.supervisor());
    let gone = first.wait_for("its name", |b| matches!(b, Body::Error(n) if n.kind == "rank_gone"));
    let Body::Error(notice) = gone.body else { unreachable!() };
    assert!(
        notice.message.contains("node 1 (") && notice.message.contains("rank 1) is gone"),
        "{}",
        notice.message
    );
    let at = gone.seq;
    wait("the second wait", || {
        first.events().into_iter().find(|e| e.seq > at && says(&e.body, State::Starting, "node 1 (rank 1)"))
    });
    wait("the lock", || (!run::lock::is_taken(&second.0)).then_some(()));
    bench.good(&["train", "--resume", "a-node1"]);
    assert_eq!(first.wait_end().0, Outcome::Completed);
    assert_eq!(second.wait_end().0, Outcome::Completed);
    assert_close("two nodes", &curve(&first), &whole, 1e-6);
    // The checkpoints are node 0's, each node's part in them; the other one keeps none, not the one that it was sent.
    assert_eq!(run::checkpoint::steps(&first.0), [7, 14, 20]);
    assert_eq!(std::fs::read_dir(second.0.checkpoints()).unwrap().count(), 0);
    let weights = |run: &Run| {
        let file = run::checkpoint::folder(&run.0, 20).join("model.safetensors");
        models::WeightsFile::open(&file)
            .unwrap()
            .floats("text.transformer.resblocks.1.mlp.c_fc.weight")
            .unwrap()
    };
    assert_eq!(weights(&first), weights(&bench.run("whole")), "what went on is what was saved");
    // On a file system that all share each rank writes its own pieces; they are the same.
    let shared = [&more[..], &["--shared_output"]].concat();
    start(&bench, "s", &[&node("1", &port)[..], &shared].concat());
    let other = start(&bench, "s", &[&node("0", &port)[..], &shared].concat());
    assert_eq!(other.wait_end().0, Outcome::Completed);
    assert_eq!(bench.run("s-node1").wait_end().0, Outcome::Completed);
    assert_eq!(weights(&other), weights(&first));
    let reports: std::collections::BTreeSet<u32> = first.history().memory.keys().copied().collect();
    assert_eq!(reports, [0, 1].into(), "the other node's memory comes to node 0");
}

#[test]
fn a_node_that_never_comes_ends_the_run_with_its_name() {
    let bench = bench();
    let port = free_port();
    let run = start(
        &bench,
        "a",
        &[&node("0", &port)[..], &["--rendezvous_timeout", "2", "--max_restarts", "0"]].concat(),
    );
    let (outcome, _, message) = run.wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(
        message.contains("node 1 (rank 1) did not come within 2 s") && message.contains("--resume"),
        "{message}"
    );
    let alone = start(
        &bench,
        "b",
        &[&node("1", &port)[..], &["--rendezvous_timeout", "2", "--max_restarts", "0"]].concat(),
    );
    drop(alone);
    let (outcome, _, message) = bench.run("b-node1").wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("nobody answers at 127.0.0.1"), "{message}");
    // A request to a node that does not decide is refused by name; a mesh that does not divide, before anything starts.
    let refused = bench.cocaptain(&Bench::train("c", &["--nnodes", "2", "--nproc_per_node", "2"]));
    assert!(words(&refused).contains("master_addr is missing"), "{}", words(&refused));
    let odd = ["--nnodes", "3", "--master_addr", "127.0.0.1", "--tensor_parallel_degree", "2"];
    let refused = bench.cocaptain(&Bench::train("c", &odd));
    assert!(
        words(&refused).contains("nnodes 3 x nproc_per_node 1 = 3 ranks cannot be divided"),
        "{}",
        words(&refused)
    );
    assert!(!bench.at("runs/c").exists());
}

#[test]
fn a_node_that_does_not_fit_is_refused_and_the_run_waits_for_one_that_does() {
    let bench = bench();
    let port = free_port();
    let first = start(&bench, "a", &node("0", &port));
    let other = [&node("1", &port)[..], &["--learning_rate", "0.001"]].concat();
    start(&bench, "other", &other);
    let (outcome, _, message) = bench.run("other-node1").wait_end();
    assert_eq!(outcome, Outcome::Failed);
    let both = message.contains("learning_rate = 0.001 on node 1 (") && message.contains("5e-4 on node 0 (");
    assert!(both, "{message}");
    first.wait_for("the refusal", |b| {
        matches!(b, Body::Warning(n) if n.kind == "node_refused" && n.message.contains("learning_rate = 0.001"))
    });

    let stranger = another_build(&bench);
    let more = [&node("1", &port)[..], &["--name", "old"]].concat();
    let command = bench.command(&flags("old", &more));
    let mut newer = std::process::Command::new(stranger.join("cocaptain"));
    newer.args(command.get_args()).current_dir(bench.folder.path());
    newer.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    newer.env("COCAPTAIN_ENGINE", stranger.join("cocaptain-engine"));
    let started = newer.output().unwrap();
    assert!(started.status.success(), "{}", words(&started));
    let (outcome, _, message) = bench.run("old-node1").wait_end();
    assert_eq!(outcome, Outcome::Failed);
    let both = message.contains(OTHER_BUILD) && message.contains(run::BUILD_ID);
    assert!(both && message.contains("install the same on both"), "{message}");

    start(&bench, "right", &node("1", &port));
    assert_eq!(first.wait_end().0, Outcome::Completed);
    assert_eq!(bench.run("right-node1").wait_end().0, Outcome::Completed);
}

const OTHER_BUILD: &str = "0123456789abcdef";

/// Both programs as if built from other sources: the build id in them is another one.
fn another_build(bench: &Bench) -> std::path::PathBuf {
    let folder = bench.at("other-build");
    std::fs::create_dir(&folder).unwrap();
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_cocaptain"));
    for name in ["cocaptain", "cocaptain-engine"] {
        let mut bytes = std::fs::read(own.with_file_name(name)).unwrap();
        let id = run::BUILD_ID.as_bytes();
        let places: Vec<usize> =
            bytes.windows(id.len()).enumerate().filter(|(_, w)| *w == id).map(|(i, _)| i).collect();
        assert!(!places.is_empty(), "{name} does not hold its build id");
        for at in places {
            bytes[at..at + id.len()].copy_from_slice(OTHER_BUILD.as_bytes());
        }
        std::fs::write(folder.join(name), bytes).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), mode).unwrap();
    }
    folder
}

/// `train` as torchrun would start it for each of two ranks on one machine.
fn torchrun(bench: &Bench, name: &str, port: &str, more: &[&str]) -> Vec<Child> {
    torchrun_as(bench, port, &flags(name, more))
}

/// The same with this command line.
fn torchrun_as(bench: &Bench, port: &str, arguments: &[&str]) -> Vec<Child> {
    let start = |rank: &str| {
        let mut command = bench.command(arguments);
        let variables = [
            ("RANK", rank),
            ("LOCAL_RANK", rank),
            ("WORLD_SIZE", "2"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("GROUP_RANK", "0"),
            ("GROUP_WORLD_SIZE", "1"),
            ("ROLE_RANK", rank),
            ("ROLE_WORLD_SIZE", "2"),
            ("ROLE_NAME", "default"),
            ("MASTER_ADDR", "127.0.0.1"),
            ("MASTER_PORT", port),
            ("TORCHELASTIC_RUN_ID", "none"),
            ("TORCHELASTIC_RESTART_COUNT", "0"),
            ("TORCHELASTIC_MAX_RESTARTS", "0"),
            ("TORCHELASTIC_USE_AGENT_STORE", "False"),
            ("OMP_NUM_THREADS", "1"),
        ];
        command.envs(variables).spawn().unwrap()
    };
    vec![start("0"), start("1")]
}

#[test]
fn under_a_launcher_each_process_is_a_rank() {
    let (bench, model) = tiny();
    let steps = ["--max_steps", "20", "--save_steps", "7"];
    let flags = [&steps[..], &model, &["--sharding", "stage1"]].concat();
    let whole = curve(&finished(&bench, "whole", &[&flags[..], &["--nproc_per_node", "2"]].concat()));
    let launched = torchrun(&bench, "a", &free_port(), &flags);
    for process in launched {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", words(&output));
        assert!(words(&output).contains("completed at step 20"), "{}", words(&output));
    }
    let run = bench.run("a");
    assert_close("torchrun", &curve(&run), &whole, 1e-6);
    assert_eq!(run::checkpoint::steps(&run.0), [7, 14, 20]);
    let settings = run.settings();
    assert_eq!((settings.nnodes, settings.nproc_per_node), (1, 2));
    // The other rank's folder is out of the way of whoever lists runs, and keeps its log alone.
    assert!(bench.at("runs/.ranks/a-rank1/logs/rank-1.log").is_file());
    assert!(!bench.good(&["runs"]).contains("rank1"));
}

#[test]
fn a_launcher_goes_on_with_a_run_each_rank_in_its_own_folder() {
    let (bench, model) = tiny();
    let begin = [&model[..], &["--max_steps", "6", "--save_steps", "3"]].concat();
    let ends = |launched: Vec<Child>, step: &str| {
        for process in launched {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", words(&output));
            assert!(words(&output).contains(&format!("completed at step {step}")), "{}", words(&output));
        }
    };
    ends(torchrun(&bench, "a", &free_port(), &begin), "6");
    // By its name, and by its folder.
    for (run, step) in [("a", "9"), ("runs/a", "12")] {
        let edit = format!("max_steps={step}");
        ends(torchrun_as(&bench, &free_port(), &["train", "--resume", run, "--set", &edit]), step);
    }
    // The last three are kept.
    assert_eq!(run::checkpoint::steps(&bench.run("a").0), [6, 9, 12]);
    let folders = std::fs::read_dir(bench.at("runs/.ranks")).unwrap().flatten();
    assert_eq!(folders.map(|f| f.file_name()).collect::<Vec<_>>(), ["a-rank1"]);
    // A rank of which nothing is there is named.
    std::fs::remove_dir_all(bench.at("runs/.ranks")).unwrap();
    let [first, second] =
        torchrun_as(&bench, &free_port(), &["train", "--resume", "a", "--dry_run", "--set", "max_steps=15"])
            .try_into()
            .unwrap();
    assert!(first.wait_with_output().unwrap().status.success());
    let refused = second.wait_with_output().unwrap();
    assert!(!refused.status.success() && words(&refused).contains("a-rank1"), "{}", words(&refused));
}

#[test]
fn a_launcher_that_ends_its_processes_leaves_none_behind() {
    let (bench, model) = tiny();
    let endless = [&model[..], &["--max_steps", "100000", "--collective_timeout", "60"]].concat();
    let mut launched = torchrun(&bench, "a", &free_port(), &endless);
    let run = bench.run("a");
    wait("a step", || run.0.events().is_file().then(|| run.history().metrics).flatten());
    // SIGKILL to what it started, as after its own patience: supervisors and ranks follow.
    for process in &mut launched {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(run.wait_end().0, Outcome::Stopped);
    let other = Run(run::dir::RunDir::at(bench.at("runs/.ranks/a-rank1")));
    other.wait_end();
}

#[test]
fn a_run_on_one_machine_listens_on_loopback_alone() {
    let bench = bench();
    let run = start(&bench, "a", &["--max_steps", "100000", "--nproc_per_node", "2"]);
    run.wait_running();
    let mut seen = 0;
    for pid in run.ranks().into_iter().chain([run.supervisor()]) {
        for address in listening(pid) {
            assert!(address.starts_with("0100007F:"), "process {pid} listens at {address}");
            seen += 1;
        }
    }
    assert!(seen > 0, "nothing listens");
    bench.good(&["stop", "a", "--now"]);
}

/// Where a process listens, as the kernel has it: TCP of both kinds.
fn listening(pid: i32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let own: Vec<String> = fds
        .filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|kind| std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")));
    let lines = tables.iter().flatten().flat_map(|text| text.lines());
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let mine = own.contains(&format!("socket:[{inode}]"));
            (*state == "0A" && mine).then(|| (*address).to_owned())
        })
        .collect()
}

/// Two nodes of one rank each that train on and on, once both have made a step: their runs.
fn two_nodes(bench: &Bench, model: &[&str], more: &[&str]) -> (Run, Run) {
    let port = free_port();
    for rank in ["0", "1"] {
        let flags = [&node(rank, &port)[..], model, &["--max_steps", "100000"], more].concat();
        start(bench, "a", &flags);
    }
    let first = bench.run("a");
    first.wait_running();
    (first, bench.run("a-node1"))
}

#[test]
fn a_rank_that_is_killed_or_hangs_elsewhere_is_named_in_time() {
    let (bench, model) = tiny();
    let (first, second) = two_nodes(&bench, &model, &["--collective_timeout", "4"]);
    let rank_of_second = || match second.ranks()[..] {
        [rank] => rank,
        ref others => panic!("{others:?}"),
    };
    let named = |kind: &str, after: u64| {
        let found = wait("its name", || {
            let mut later = first.events().into_iter().filter(|e| e.seq > after);
            later.find(|e| matches!(&e.body, Body::Error(_)))
        });
        let Body::Error(notice) = &found.body else { unreachable!() };
        assert_eq!(notice.kind, kind, "{}", notice.message);
        assert!(notice.message.contains("node 1 (") && notice.message.contains("rank 1)"), "{notice:?}");
        (found.seq, found.t, notice.message.clone())
    };
    let running_again = |after: u64| {
        wait("a step of the next attempt", || {
            let mut later = first.events().into_iter().filter(|e| e.seq > after);
            later.find(|e| matches!(e.body, Body::Metrics(_)))
        });
    };
    // Killed: its connections end, and it answers no call. At its best as it is, the machine may be busy.
    let mut best = f64::MAX;
    let mut after = 0;
    for _ in 0..3 {
        let at = crate::support::now();
        kill(rank_of_second());
        let (seq, t, message) = named("rank_gone", after);
        assert!(message.contains("is gone"), "{message}");
        best = best.min(t - at);
        after = seq;
        running_again(after);
        if best < 1.0 {
            break;
        }
    }
    assert!(best < 1.0, "named after {best} s");
    // Stopped: nothing of it moves, its connections stay. collective_timeout is the patience.
    let hung = rustix::process::Pid::from_raw(rank_of_second()).unwrap();
    rustix::process::kill_process(hung, rustix::process::Signal::STOP).unwrap();
    let (seq, _, message) = named("rank_hung", after);
    assert!(message.contains("does not answer for 4 s (collective_timeout)"), "{message}");
    // It comes to itself, sees that the others have gone on, and joins them.
    rustix::process::kill_process(hung, rustix::process::Signal::CONT).unwrap();
    running_again(seq);
    bench.good(&["stop", "a"]);
    assert_eq!((first.wait_end().0, second.wait_end().0), (Outcome::Stopped, Outcome::Stopped));
}

#[test]
fn what_ended_rank_0_is_known_on_the_other_machine() {
    let (bench, model) = tiny();
    // The same annotations there, and no pictures.
    let mut copy = std::process::Command::new("cp");
    assert!(copy.args(["-r", "drawn", "bare"]).current_dir(bench.folder.path()).status().unwrap().success());
    let pictures = |folder: &std::path::Path| -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path if path.extension().is_some_and(|e| e == "png" || e == "jpg") => found.push(path),
                    _ => {}
                }
            }
        }
        found
    };
    let gone = pictures(&bench.at("bare"));
    assert!(!gone.is_empty());
    gone.iter().for_each(|picture| std::fs::remove_file(picture).unwrap());
    let port = free_port();
    let common = [&model[..], &["--max_restarts", "0"]].concat();
    start(&bench, "a", &[&node("1", &port)[..], &common].concat());
    start(&bench, "a", &[&node("0", &port)[..], &common, &["--train_data", "bare"]].concat());
    let (outcome, _, own) = bench.run("a").wait_end();
    assert_eq!(outcome, Outcome::Failed);
    let (outcome, _, message) = bench.run("a-node1").wait_end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(message.contains("rank 0 of node 0 (") && message.contains(&own), "{message}\ninstead of\n{own}");
}
