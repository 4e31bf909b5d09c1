//! The instrument as a person meets it: other programs' logs on the screen, files that are not as they should be, the
//! workbench's own options, plots and exports.

use std::io::Write as _;

use run::events::{Body, Metrics};

use crate::rank::Script;
use crate::support::{Bench, wait, words};
use crate::terminal::Terminal;

/// A bench whose runs nobody starts.
fn bench() -> Bench {
    Bench::new(&Script::default())
}

/// One line of open_clip's log.
fn line(step: u64) -> String {
    format!(
        "2024-05-01,10:{:02}:{:02} | INFO | Train Epoch: 0 [{}/128000 (1%)] Data (t): 0.120 Batch (t): 1.520, 84.2/s, 42.1/s/gpu \
         LR: 0.000001 Logit Scale: 14.286 Contrastive_loss: 4.8520 (4.8520) Caption_loss: 11.100 (11.100) Loss: {:.3} (15.952)\n",
        step / 60 % 60,
        step % 60,
        (step + 1) * 64,
        100.0 / (step + 1) as f64,
    )
}

#[test]
fn open_clips_folder_opens_read_only_and_is_followed() {
    let bench = bench();
    let folder = bench.at("logs/their-run");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("params.txt"),
        "batch_size: 64\nepochs: 3\nmodel: coca_ViT-B-32\nworld_size: 1\n",
    )
    .unwrap();
    let mut log = std::fs::File::create(folder.join("out.log")).unwrap();
    (0..50).for_each(|step| log.write_all(line(step).as_bytes()).unwrap());
    let mut terminal = Terminal::open(&bench, &["open", "logs"]);
    terminal.see("growing");
    terminal.see("step 49");
    terminal.see("contrastive_loss");
    (50..60).for_each(|step| log.write_all(line(step).as_bytes()).unwrap());
    terminal.see("step 59");
    terminal.press("S");
    terminal.see("not steered");
    terminal.press("3");
    terminal.see("coca_ViT-B-32");
    // Nothing was written there.
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    terminal.press("1");
    // Taken away while it is watched: told, and what was seen stays.
    std::fs::remove_dir_all(&folder).unwrap();
    terminal.see("No such file");
    terminal.see("contrastive_loss");
    terminal.leave();
    let nothing = bench.cocaptain(&["open", "data"]);
    assert!(
        !nothing.status.success() && words(&nothing).contains("there is nothing to open"),
        "{}",
        words(&nothing)
    );
}

/// A run that ended, of so many steps.
pub fn ended(bench: &Bench, name: &str, steps: u64) -> run::dir::RunDir {
    let run = run::dir::RunDir::create(&bench.at("runs"), name).unwrap();
    std::fs::write(run.config(), format!("seed = {steps}\n")).unwrap();
    let mut writer = run::log::Writer::open(&run).unwrap();
    for step in 1..=steps {
        let loss = 5.0 / step as f64;
        writer
            .append(Body::Metrics(Metrics { step, loss, learning_rate: 1e-3, ..Metrics::default() }))
            .unwrap();
    }
    let outcome = run::events::Outcome::Completed;
    writer.append(Body::Finished { outcome, step: steps, message: None }).unwrap();
    run
}

#[test]
fn plots_and_exports_of_any_runs() {
    let bench = bench();
    ended(&bench, "a", 40);
    ended(&bench, "b", 30);
    bench.good(&["plot", "a", "b", "-o", "p.svg", "--smooth", "0.9", "--log_y"]);
    bench.good(&["plot", "runs", "-o", "p.png", "-m", "loss", "--x", "time"]);
    assert!(std::fs::read_to_string(bench.at("p.svg")).unwrap().contains("learning_rate"));
    assert!(std::fs::read(bench.at("p.png")).unwrap().starts_with(b"\x89PNG"));
    let csv = bench.good(&["export", "a", "-m", "loss"]);
    assert_eq!((csv.lines().count(), csv.lines().next()), (41, Some("run,metric,step,time,value")));
    let json: serde_json::Value =
        serde_json::from_str(&bench.good(&["export", "a", "b", "-m", "loss", "--json"])).unwrap();
    assert_eq!((json[0]["run"].as_str(), json[1]["values"].as_array().map(Vec::len)), (Some("a"), Some(30)));
    for (arguments, status, told) in [
        (&["plot", "a", "-o", "p.gif"][..], 1, ".svg or .png"),
        (&["plot", "c", "-o", "p.svg"][..], 1, "there is no run 'c'"),
        (&["plot", "a", "-o", "p.svg", "-m", "los"][..], 1, "there is no curve 'los'"),
        (&["plot", "a", "-o", "p.svg", "--smooth", "1"][..], 2, "below 1"),
        (&["plot", "a", "-o", "nowhere/p.svg"][..], 1, "nowhere/p.svg"),
    ] {
        let output = bench.cocaptain(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(told), "{arguments:?}: {}", words(&output));
    }
}

#[test]
fn runs_are_laid_over_one_another_and_deleted_for_good() {
    let bench = bench();
    let (a, b) = (ended(&bench, "a", 40), ended(&bench, "b", 30));
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("completed");
    terminal.press("r");
    terminal.see("by newest");
    terminal.press("/b");
    terminal.see("/b");
    terminal.press("\r");
    terminal.press(" ");
    terminal.see("+ b");
    terminal.press("tgood one\r");
    terminal.see("#good #one");
    wait("the tags on the disk", || b.path().join("labels.json").is_file().then_some(()));
    terminal.press("1");
    terminal.see("━2 b");
    terminal.press("D");
    terminal.see("seed");
    terminal.press("q");
    terminal.press("r");
    terminal.see("by newest");
    terminal.press("X");
    terminal.see("Nothing brings it back");
    assert!(b.events().exists());
    terminal.press("y");
    terminal.see("b is deleted");
    assert!(!b.path().exists() && a.events().exists());
    terminal.press("1");
    terminal.see("completed");
    terminal.leave();
}

#[test]
fn own_keys_and_options_are_used_and_conflicts_told_with_their_line() {
    let bench = bench();
    ended(&bench, "a", 40);
    let folder = bench.at("config/cocaptain");
    std::fs::create_dir_all(&folder).unwrap();
    let text = "theme = \"dark\"\nmouse = false\nread_only = true\n[keys.charts]\nsmoothing = \"g s\"\nlog_scale = \"o\"\n";
    std::fs::write(folder.join("workbench.toml"), text).unwrap();
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("workbench.toml:6: o");
    terminal.see("keeps its");
    terminal.press("d");
    terminal.press("g");
    terminal.see("g and then");
    terminal.press("s");
    terminal.see("smooth 0.6");
    terminal.press("S");
    terminal.see("read-only");
    assert!(!terminal.asked_for_mouse(), "the mouse is listened to");
    terminal.leave();
}

#[test]
fn the_screen_is_ascii_where_the_locale_needs_it() {
    let bench = bench();
    ended(&bench, "a", 40);
    let script = "LC_ALL=C exec \"$COCAPTAIN\" attach a";
    let terminal = Terminal::shell(&bench, &["sh", "-c", script], (80, 24));
    terminal.see("completed");
    terminal.see("+ loss");
    assert!(terminal.text().is_ascii(), "{}", terminal.text());
    terminal.leave();
}

#[test]
fn events_that_are_torn_huge_newer_or_gone_are_told_never_crashed_at() {
    let bench = bench();
    let run = ended(&bench, "a", 40);
    let mut events = std::fs::File::options().append(true).open(run.events()).unwrap();
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("completed");
    // Of a newer version, of an unknown type, of fields that are none, and no JSON at all.
    let newer = "{\"v\":9,\"t\":1,\"seq\":50,\"attempt\":0,\"type\":\"telepathy\",\"x\":[1]}\n{\"v\":9,\"t\":2,\"seq\":51,\"attempt\":0,\"type\":\"metrics\",\"step\":41,\"loss\":1.5,\"aura\":7}\n\x00\x1b[2J rubbish\n";
    events.write_all(newer.as_bytes()).unwrap();
    terminal.see("step 41");
    // Single words: messages are broken into lines.
    terminal.see("newer");
    terminal.see("passed");
    // A line longer than any event, in pieces, and half an event behind it.
    for _ in 0..40 {
        events.write_all(&vec![b'x'; 100_000]).unwrap();
    }
    events.write_all(b"\n{\"v\":1,\"t\":3,\"seq\":52,\"attempt\":0,\"type\":\"metrics\",\"st").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    events.write_all(b"ep\":42,\"loss\":1.25}\n").unwrap();
    terminal.see("step 42");
    // Gone: told, and what was read stays.
    std::fs::remove_dir_all(run.path()).unwrap();
    terminal.see("stays");
    terminal.press("rd1");
    terminal.see("step 42");
    // Another run in its place, then a file that is shorter than what was read: both are read anew.
    ended(&bench, "a", 7);
    terminal.see("anew");
    terminal.see("step 7");
    let events = std::fs::read_to_string(run.events()).unwrap();
    let few: String = events.lines().take(3).map(|l| format!("{l}\n")).collect();
    std::fs::write(run.events(), few).unwrap();
    terminal.see("step 3");
    terminal.leave();
}

#[test]
fn what_the_list_does_to_a_run_commands_do() {
    let bench = bench();
    let (a, b) = (ended(&bench, "a", 5), ended(&bench, "b", 5));
    assert_eq!(
        bench.good(&["label", "a", "--tags", "good, old", "--note", "with flips"]),
        "a: #good #old with flips\n"
    );
    assert_eq!(bench.good(&["label", "a", "--archive"]), "a: #good #old with flips (put away)\n");
    let listed: serde_json::Value = serde_json::from_str(&bench.good(&["runs", "--json"])).unwrap();
    let row = listed.as_array().unwrap().iter().find(|r| r["name"] == "a").unwrap();
    assert!(row["tags"] == serde_json::json!(["good", "old"]) && row["archived"] == true, "{row}");
    assert_eq!(bench.good(&["label", "a", "--restore", "--tags", "", "--note", ""]), "a:\n");
    assert!(!a.path().join("labels.json").exists());
    let refused = bench.cocaptain(&["delete", "b"]);
    assert!(refused.status.code() == Some(2) && words(&refused).contains("--yes") && b.path().exists());
    assert!(bench.good(&["delete", "b", "--yes"]).contains("b is deleted") && !b.path().exists());
    let output = bench.cocaptain(&["delete", "b", "--yes"]);
    assert!(words(&output).contains("there is no run 'b'"), "{}", words(&output));
}

#[test]
fn nothing_is_drawn_while_nothing_changes_and_sixty_frames_a_second_at_most() {
    let bench = bench();
    ended(&bench, "a", 400);
    let mut terminal = Terminal::open(&bench, &["attach", "a"]);
    terminal.see("completed");
    terminal.see("step 400");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = terminal.written().len();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(terminal.written().len(), before, "an idle screen is drawn");
    // A flood of keys, each of which changes what is seen.
    let frames = |terminal: &Terminal| terminal.written().matches("\x1b[?2026l").count();
    let (begin, first) = (std::time::Instant::now(), frames(&terminal));
    for _ in 0..50 {
        terminal.press(&"+-".repeat(20));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    terminal.press(":");
    terminal.see("Enter do it");
    let (drawn, most) = (frames(&terminal) - first, begin.elapsed().as_secs_f64() * 62.5 + 2.0);
    assert!(drawn > 3 && (drawn as f64) <= most, "{drawn} frames, {most} at most");
    terminal.press("\x1b");
    std::thread::sleep(std::time::Duration::from_millis(100));
    terminal.leave();
}

/// What a terminal is sent by each protocol; a real xterm shows it in `make screenshot-sixel`.
#[test]
fn pictures_reach_the_terminal_by_each_protocol() {
    let bench = bench();
    let draw =
        ["data", "demo", "drawn", "--train_pictures", "4", "--val_pictures", "2", "--test_pictures", "2"];
    bench.good(&[&draw[..], &["--zero_shot_pictures", "1"]].concat());
    for (protocol, begins, ends) in
        [("sixel", "\x1bPq", "\x1b\\"), ("kitty", "\x1b_G", "\x1b\\"), ("iterm2", "\x1b]1337;File=", "\x07")]
    {
        let script = format!("COCAPTAIN_IMAGES={protocol} exec \"$COCAPTAIN\" data browse drawn");
        let terminal = Terminal::shell(&bench, &["sh", "-c", &script], (120, 36));
        terminal.see("train/00000.png");
        // Sixel's parameters stand between its introducer and the q.
        let begins = begins.trim_end_matches('q');
        let sent = wait(protocol, || {
            let written = terminal.written();
            let bodies = written.split(begins).skip(1).filter_map(|rest| rest.split_once(ends));
            // Kitty's question is no picture.
            bodies.map(|(body, _)| body.to_owned()).find(|body| !body.contains("a=q"))
        });
        match protocol {
            // Colours are defined, then rows of six pixels.
            "sixel" => {
                assert!(sent.contains('q') && sent.contains("#0;2;") && sent.contains('-'), "{sent:.200}")
            }
            "kitty" => assert!(sent.contains("a=T") && sent.contains("f="), "{sent:.200}"),
            _ => assert!(sent.contains("inline=1") && sent.contains("width="), "{sent:.200}"),
        }
        terminal.leave();
    }
}
