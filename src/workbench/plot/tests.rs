use super::*;

fn run(name: &str, n: u64, shift: f64) -> Run {
    let mut history = History::default();
    for step in 1..=n {
        let x = step as f64;
        let noise = ((step * 7919 % 101) as f64 / 101.0 - 0.5) * 0.6;
        history.point("loss", step, x * 0.5, shift + 5.0 * (-x / 80.0).exp() + noise);
        history.point("learning_rate", step, x * 0.5, 1e-3 * (x / 50.0).min(1.0));
        if step % 100 == 0 {
            history.point("held_out.loss", step, x * 0.5, shift + 0.3 + 200.0 / x);
        }
    }
    Run { name: name.to_owned(), history }
}

#[test]
fn both_kinds_are_written_with_every_runs_name() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run("first<try>", 400, 2.0), run("second", 300, 2.4)];
    let options = Options { smoothing: 0.9, ..Options::default() };
    let (svg, png) = (dir.path().join("a.svg"), dir.path().join("a.png"));
    write(&runs, &options, &svg).unwrap();
    write(&runs, &options, &png).unwrap();
    let text = std::fs::read_to_string(svg).unwrap();
    for word in ["first&lt;try&gt;", "second", "learning_rate", "smoothed 0.9"] {
        assert!(text.contains(word), "{word}");
    }
    let drawn = data::picture::decode(&std::fs::read(png).unwrap()).unwrap();
    let colours: std::collections::BTreeSet<[u8; 3]> =
        drawn.rgb().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    assert!(colours.len() > 6, "{}", colours.len());
}

#[test]
fn a_spike_of_one_step_is_on_the_paper() {
    let dir = tempfile::tempdir().unwrap();
    let mut long = run("long", 200_000, 2.0);
    long.history.curves.get_mut("loss").unwrap().values[123_456] = 70.0;
    let lines = |options: &Options| {
        let panel = panel::Panel::of(std::slice::from_ref(&long), "loss", options);
        let points: Vec<(f64, f64)> = panel.lines[0].raw.iter().flatten().copied().collect();
        (points, panel.clipped)
    };
    let (points, clipped) = lines(&Options::default());
    assert!(points.contains(&(123_457.0, 70.0)) && points.len() < 8000 && clipped == 0, "{}", points.len());
    assert!(lines(&Options { robust: true, ..Options::default() }).1 >= 1);
    write(&[long], &Options::default(), &dir.path().join("a.svg")).unwrap();
    let bytes = std::fs::metadata(dir.path().join("a.svg")).unwrap().len();
    assert!(bytes < 400_000, "{bytes}");
}

#[test]
fn what_is_not_there_is_named() {
    let runs = [run("a", 10, 1.0)];
    let e = chosen(&runs, &["lss".to_owned()]).unwrap_err();
    assert!(e.contains("'lss'") && e.contains("learning_rate"), "{e}");
    assert_eq!(chosen(&runs, &[]).unwrap(), ["loss", "learning_rate"]);
    let empty = [Run { name: "b".into(), history: History::default() }];
    assert!(chosen(&empty, &[]).is_err());
    let dir = tempfile::tempdir().unwrap();
    assert!(
        write(&runs, &Options::default(), &dir.path().join("a.gif")).unwrap_err().contains(".svg or .png")
    );
}

#[test]
fn a_size_that_is_too_large_for_a_png_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run("a", 10, 1.0)];
    let options =
        Options { size: Some((4000, 4000)), metrics: vec!["loss".to_owned()], ..Options::default() };
    let e = write(&runs, &options, &dir.path().join("a.png")).unwrap_err();
    assert!(e.contains("4000x4000") && e.contains("8 million pixels") && !e.contains("panels"), "{e}");
    write(&runs, &options, &dir.path().join("a.svg")).unwrap();
}

#[test]
fn odd_data_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::default();
    for (step, value) in [(5, f64::NAN), (6, 3.0), (7, f64::INFINITY), (8, -1.0)] {
        history.point("x", step, 0.0, value);
    }
    let runs = [Run { name: "a".into(), history }];
    for (log_x, log_y) in [(false, false), (true, true)] {
        for axis in [Axis::Step, Axis::Epoch, Axis::Time, Axis::Samples] {
            let options = Options { log_x, log_y, axis, smoothing: 0.6, ..Options::default() };
            write(&runs, &options, &dir.path().join("a.svg")).unwrap();
        }
    }
}

#[test]
fn no_line_stands_out_of_its_panel() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::default();
    for step in 1..=3000u64 {
        let value = if step % 37 == 0 { 1e3 } else { (step * 7919 % 101) as f64 / 101.0 };
        history.point("x", step, 0.0, value);
    }
    let runs = [Run { name: "a".into(), history }];
    let options = Options { robust: true, smoothing: 0.5, ..Options::default() };
    write(&runs, &options, &dir.path().join("a.png")).unwrap();
    let drawn = data::picture::decode(&std::fs::read(dir.path().join("a.png")).unwrap()).unwrap();
    let (mut inside, mut outside) = (0, 0);
    for (i, pixel) in drawn.rgb().chunks_exact(3).enumerate() {
        let (x, y) = (i % drawn.width() / 2, i / drawn.width() / 2);
        let coloured = pixel.iter().max().unwrap() - pixel.iter().min().unwrap() > 40;
        let within = (68..=732).contains(&x) && (68..=drawn.height() / 2 - 40).contains(&y);
        *(if within { &mut inside } else { &mut outside }) += usize::from(coloured);
    }
    assert!(inside > 1000 && outside == 0, "{inside} inside, {outside} outside");
}

#[test]
fn panels_of_one_paper_share_their_x_axis() {
    let runs = [run("a", 1000, 2.0)];
    for log_x in [false, true] {
        let options = Options { log_x, ..Options::default() };
        let mut panels = ["loss", "held_out.loss"].map(|m| panel::Panel::of(&runs, m, &options));
        assert_ne!(panels[0].x.ends, panels[1].x.ends, "the held-out one begins at its first evaluation");
        panel::share_x(&mut panels, &options);
        assert_eq!(panels[0].x.ends, panels[1].x.ends);
        assert!(
            (panels[0].x.ends.1 - if log_x { 3.0 } else { 1000.0 }).abs() < 1e-9,
            "{:?}",
            panels[0].x.ends
        );
    }
}
