//! The Caption tab in a real pty, with the real engine on a run of a few steps.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::{Bench, wait};
use crate::terminal::Terminal;

/// The tab on a folder of the bench.
fn tab(bench: &Bench, folder: &str, first: &str) -> Terminal {
    let mut terminal = Terminal::open(bench, &["attach", "a"]);
    terminal.see("completed");
    terminal.press("4");
    terminal.see("drawn/");
    // A pasted path, as a terminal sends it.
    terminal.press(&format!("\x1b[200~{folder}\x1b[201~"));
    terminal.see(first);
    terminal
}

#[test]
fn a_folder_is_captioned_while_the_captions_grow_and_kept() {
    let bench = crate::captions::bench();
    std::fs::copy(bench.at("bad.jpg"), bench.at("drawn/images/val/0000.jpg")).unwrap();
    let mut terminal = tab(&bench, "drawn/images/val", "00003.png");
    // The unreadable one is a line.
    terminal.press("\r");
    terminal.see("not a picture");
    terminal.press("j\r");
    terminal.see("log-probability a token");
    assert!(terminal.written().contains('\u{258f}'), "no caption was seen growing");

    // The clipboard gets what is on the screen, and what the text file gets.
    terminal.press("y");
    terminal.see("caption copied");
    terminal.press("s");
    let kept = bench.at("drawn/images/val/00000.txt");
    wait("the caption beside its picture", || kept.is_file().then_some(()));
    let caption = std::fs::read_to_string(&kept).unwrap();
    let osc = format!("\x1b]52;c;{}", BASE64_STANDARD.encode(caption.trim_end()));
    assert!(terminal.written().contains(&osc), "{osc:?} of {caption:?} was not written");

    terminal.press("a");
    terminal.see("9 pictures captioned");
    terminal.press("w");
    let kept = bench.at("drawn/images/val/captions.json");
    wait("the captions on the disk", || kept.is_file().then_some(()));
    terminal.leave();
    let read = data::Dataset::open(&kept, data::Split::Val, &data::ReadOptions::default()).unwrap();
    assert_eq!(read.len(), 8);
}

#[test]
fn a_batch_shows_how_far_it_is_and_can_be_cancelled() {
    let bench = crate::captions::bench();
    std::fs::create_dir(bench.at("many")).unwrap();
    for i in 0..3000 {
        let picture = bench.at(&format!("drawn/images/val/0000{}.png", i % 8));
        std::fs::hard_link(picture, bench.at(&format!("many/{i:04}.png"))).unwrap();
    }
    let mut terminal = tab(&bench, "many", "0003.png");
    terminal.press("a");
    terminal.see("of 3000   x cancels");
    let done = || {
        let text = terminal.text();
        let line = text.lines().find(|line| line.contains("of 3000")).unwrap_or_default().to_owned();
        line.split("of 3000").next()?.split_whitespace().last()?.parse::<u32>().ok().filter(|n| *n > 16)
    };
    wait("some of them done", done);
    terminal.press("x");
    terminal.see("cancelled; ");
    assert!(!terminal.text().contains("3000 of 3000"), "all were done before the key was pressed");
    // The engine is still there.
    terminal.press("\x1b[F");
    terminal.see("2999.png");
    terminal.press("\r");
    terminal.see("log-probability a token");
    terminal.leave();
}

#[test]
fn two_checkpoints_stand_side_by_side_and_pictures_wait_for_a_model_that_loads() {
    let bench = crate::captions::bench();
    // From now on an engine starts only when the test says so.
    let engine = bench.at("engine");
    let real = std::fs::canonicalize(&engine).unwrap();
    std::fs::remove_file(&engine).unwrap();
    let script = format!(
        "#!/bin/sh\nuntil [ -e '{}' ]; do sleep 0.05; done\nexec '{}' \"$@\"\n",
        bench.at("go").display(),
        real.display()
    );
    std::fs::write(&engine, script).unwrap();
    std::fs::set_permissions(&engine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut terminal = tab(&bench, "drawn/images/val", "00003.png");
    for (key, title, step) in [("m", "model", "step 2"), ("v", "compare with", "step 3")] {
        terminal.press(key);
        terminal.see(title);
        terminal.see(step);
        terminal.press(step);
        terminal.see(&format!("'{step}' as it is"));
        terminal.press("\r");
        terminal.see(&format!("╭ a {}", step.replace(' ', "-")));
    }
    terminal.see("loading the model");
    terminal.press("\r");
    let count = |what: &str, terminal: &Terminal| terminal.text().matches(what).count();
    wait("both to wait", || (count("waits for its turn", &terminal) == 2).then_some(()));
    std::fs::write(bench.at("go"), "").unwrap();
    wait("captions of both", || (count("log-probability", &terminal) == 2).then_some(()));
    assert_eq!(count("loaded in", &terminal), 2);
    terminal.leave();
}
