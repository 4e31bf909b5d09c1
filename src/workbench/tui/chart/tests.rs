use super::*;
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use ratatui::widgets::Widget;

fn curve(values: Vec<f64>) -> Curve {
    let steps: Vec<u64> = (1..=values.len() as u64).collect();
    Curve {
        times: steps.iter().map(|s| 1000.0 + *s as f64 * 0.5).collect(),
        steps,
        values,
        ..Curve::default()
    }
}

/// A falling loss with noise that is the same each time.
fn falling(n: usize) -> Curve {
    let noise = |i: usize| ((i * 7919 % 101) as f64 / 101.0 - 0.5) * 0.6;
    curve((0..n).map(|i| 2.0 + 5.0 * (-(i as f64) / 80.0).exp() + noise(i)).collect())
}

fn shown(chart: Chart, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    chart.render(area, &mut buf);
    let rows = buf.content.chunks(usize::from(width));
    rows.map(|row| row.iter().map(|c| c.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
}

fn snapshot(name: &str, drawn: String) {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, drawn);
    });
}

#[test]
fn a_loss_with_held_out_points_and_marks() {
    let (train, mut held) = (falling(400), curve(Vec::new()));
    for step in [100, 200, 300, 400] {
        held.steps.push(step);
        held.times.push(1000.0 + step as f64 * 0.5);
        held.values.push(2.3 + 300.0 / step as f64);
    }
    let series = [Series::line("train", &train, Style::new()), Series::dots("held out", &held, Style::new())];
    let mark = |step, kind, label: &str| ChartMark { step, kind, label: label.to_owned() };
    let marks = [
        mark(150, MarkKind::Setting, "learning_rate 3e-4"),
        mark(180, MarkKind::Checkpoint, ""),
        mark(320, MarkKind::Restart, "restart"),
    ];
    let mut view = ChartView::default();
    let domain = Domain::of([&train, &held], &view);
    let chart = |view: &ChartView, w, h| shown(Chart::new("loss", &series, view, domain).marks(&marks), w, h);
    snapshot("whole", chart(&view, 80, 16));
    snapshot("small", chart(&view, 38, 7));
    snapshot("tiny", chart(&view, 20, 5));
    view.cycle_smoothing();
    view.cycle_smoothing();
    view.set_crosshair(0.5, domain);
    snapshot("smoothed_with_crosshair", chart(&view, 80, 12));
    view.zoom_at(0.5, 0.25, domain);
    view.toggle_log();
    snapshot("zoomed_log", chart(&view, 80, 12));
    view.reset();
    view.set_units(Units { began: 1000.0, epochs_per_step: 0.01, samples_per_step: 64.0 });
    view.cycle_axis();
    snapshot("epochs", chart(&view, 60, 8));
    view.cycle_axis();
    let domain = Domain::of([&train, &held], &view);
    snapshot("time", shown(Chart::new("loss", &series, &view, domain).marks(&marks), 60, 8));
}

#[test]
fn values_that_are_not_finite_are_gaps_with_a_mark() {
    let mut c = falling(100);
    c.values[40] = f64::NAN;
    c.values[60] = f64::INFINITY;
    let series = [Series::line("", &c, Style::new())];
    let view = ChartView::default();
    let drawn = shown(Chart::new("loss", &series, &view, Domain::of([&c], &view)), 60, 8);
    assert_eq!(drawn.matches('✕').count(), 2);
    assert!(drawn.contains("NaN 2"));
    snapshot("not_finite", drawn);
}

#[test]
fn a_gap_within_a_column_is_a_gap() {
    let values = [1.0, f64::NAN, 5.0, 2.0, 3.0];
    let mut columns = Vec::new();
    let row = |v: f64| v.is_finite().then_some(-v as i32);
    reduce::columns(&reduce::buckets(0..5, |i| i as i32 / 4), &values, 0, row, |c| {
        columns.push(c.map(|c| (c.x, c.first, c.last, c.top, c.bottom)));
    });
    assert_eq!(
        columns,
        [Some((0, -1, -1, -1, -1)), None, Some((0, -5, -2, -5, -2)), Some((1, -3, -3, -3, -3))]
    );
}

#[test]
fn outliers_are_counted_not_hidden() {
    let mut c = falling(400);
    c.values[200] = 900.0;
    c.values[250] = 700.0;
    let series = [Series::line("", &c, Style::new())];
    let mut view = ChartView::default();
    view.toggle_robust();
    let domain = Domain::of([&c], &view);
    let drawn = shown(Chart::new("loss", &series, &view, domain), 60, 10);
    assert!(drawn.contains("clipped 2") && !drawn.contains("500"), "{drawn}");
    view.toggle_robust();
    let drawn = shown(Chart::new("loss", &series, &view, domain), 60, 10);
    assert!(!drawn.contains("clipped") && drawn.contains("500"), "{drawn}");
    view.toggle_log();
    c.values[3] = -1.0;
    let series = [Series::line("", &c, Style::new())];
    assert!(shown(Chart::new("loss", &series, &view, domain), 60, 10).contains("1 not > 0"));
}

#[test]
fn few_points_and_none() {
    let view = ChartView::default();
    let shown_of = |c: &Curve| {
        shown(Chart::new("x", &[Series::line("", c, Style::new())], &view, Domain::of([c], &view)), 40, 6)
    };
    snapshot("none", shown_of(&Curve::default()));
    snapshot("one", shown_of(&curve(vec![3.0])));
    snapshot("flat", shown_of(&curve(vec![0.25; 30])));
    let text = shown(Chart::new("x", &[], &view, Domain::default()), 40, 6);
    assert!(text.contains("no data yet"));
}

#[test]
fn the_window_follows_or_stands_still() {
    let mut view = ChartView::default();
    let at = |last: f64| Domain { first: 1.0, last };
    assert_eq!(view.window(at(3.0)), (0.0, 10.0));
    assert_eq!((view.window(at(1000.0)), view.badge().as_str()), ((0.0, 1000.0), "ALL"));
    view.zoom_at(1.0, 0.5, at(1000.0));
    assert_eq!((view.window(at(1000.0)), view.badge().as_str()), ((500.0, 1000.0), "LIVE 500"));
    assert_eq!(view.window(at(1200.0)), (700.0, 1200.0));
    view.pan(-0.5, at(1200.0));
    assert_eq!(view.badge(), "FROZEN at 950");
    let held = view.window(at(1200.0));
    assert_eq!((held, view.window(at(90_000.0))), ((450.0, 950.0), held));
    view.pan(-9.0, at(1200.0));
    assert_eq!(view.window(at(1200.0)), (0.0, 500.0));
    view.follow();
    assert_eq!(view.window(at(1200.0)), (700.0, 1200.0));
    view.zoom_at(0.5, 100.0, at(1200.0));
    assert_eq!(view, ChartView::default());
    for _ in 0..99 {
        view.zoom_at(0.3, 0.5, at(1200.0));
    }
    let (from, to) = view.window(at(1200.0));
    assert_eq!(to - from, 5.0);
    view.zoom_at(0.3, f64::NAN, at(1200.0));
    assert_eq!(view.window(at(1200.0)), (from, to));
}

#[test]
fn the_crosshair_reads_the_nearest_point() {
    let c = curve((1..=100).map(f64::from).collect());
    let mut view = ChartView::default();
    let domain = Domain::of([&c], &view);
    view.move_crosshair(-0.1, domain);
    assert_eq!(view.crosshair(), Some(100.0));
    view.move_crosshair(-0.5, domain);
    assert_eq!(reduce::nearest(&c, &view, view.units(), 50.2), Some(49));
    assert_eq!(reduce::nearest(&c, &view, view.units(), 1e9), Some(99));
    let series = [Series::line("", &c, Style::new())];
    let drawn = shown(Chart::new("x", &series, &view, domain), 60, 8);
    assert!(drawn.contains("x 100 @50 50"), "{drawn}");
    assert!(view.clear_crosshair() && !view.clear_crosshair());
}

#[test]
fn smoothing_is_a_weighted_mean() {
    let c = curve(vec![1.0, 3.0, f64::NAN, 2.0]);
    let at = |i| reduce::Smoother::at(0.5, &c, i).unwrap();
    assert_eq!(at(0), 1.0);
    assert!((at(1) - (0.5 + 3.0) / 1.5).abs() < 1e-12);
    assert!(at(2).is_nan());
    assert!((at(3) - (0.25 + 1.5 + 2.0) / 1.75).abs() < 1e-12);
    // What is before the window counts as if all had been read.
    let long = falling(5000);
    let mut sums = (0.0, 0.0);
    for v in &long.values {
        sums = (0.99 * sums.0 + v, 0.99 * sums.1 + 1.0);
    }
    let whole = sums.0 / sums.1;
    assert!((reduce::Smoother::at(0.99, &long, 4999).unwrap() - whole).abs() < 1e-4);
    // A thinned curve is smoothed as the whole one, but for what lies within a few points.
    let mut thin = long.clone();
    thin.thin(1000);
    assert!(thin.values.len() <= 1000);
    let last = reduce::Smoother::at(0.99, &thin, thin.values.len() - 1).unwrap();
    assert!((last - whole).abs() < 0.01, "{last} {whole}");
}

#[test]
fn colours_are_those_of_the_series() {
    let (a, b) = (curve(vec![1.0; 50]), curve(vec![2.0; 50]));
    let red = Style::new().fg(Color::Red);
    let series = [Series::line("a", &a, red), Series::line("b", &b, Style::new().fg(Color::Blue))];
    let view = ChartView::default();
    let area = Rect::new(0, 0, 60, 10);
    let mut buf = Buffer::empty(area);
    Chart::new("x", &series, &view, Domain::of([&a, &b], &view)).render(area, &mut buf);
    let plot = Chart::plot_area(area).unwrap();
    let colour = |row: u16| buf.cell((plot.x + 20, row)).filter(|c| c.symbol() != " ").map(|c| c.fg);
    let colours: Vec<Color> = plot.rows().filter_map(|r| colour(r.y)).collect();
    assert_eq!(colours, [Color::Blue, Color::Red]);
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -10.0..10.0f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324]),
    ]
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        values in prop::collection::vec(value(), 0..300),
        other in prop::collection::vec(value(), 0..5),
        (x, y, width, height) in (0u16..5, 0u16..5, 0u16..100, 0u16..30),
        keys in prop::collection::vec((0u8..11, -1.5..1.5f64), 0..12),
    ) {
        let (a, b) = (curve(values), curve(other));
        let mut view = ChartView::default();
        for (key, f) in keys {
            let domain = Domain::of([&a, &b], &view);
            match key {
                0 | 1 => view.zoom_at(f, 0.5, domain),
                2 => view.zoom_at(f, 1.7, domain),
                3 | 4 => view.pan(f, domain),
                5 => view.toggle_log(),
                6 => view.toggle_robust(),
                7 => view.cycle_smoothing(),
                8 => view.cycle_axis(),
                9 => view.move_crosshair(f, domain),
                _ => view.set_crosshair(f, domain),
            }
        }
        let domain = Domain::of([&a, &b], &view);
        let series = [Series::line("a", &a, Style::new()), Series::dots("b", &b, Style::new())];
        let marks = [ChartMark { step: 3, kind: MarkKind::Setting, label: "größe 1".to_owned() }];
        let area = Rect::new(x, y, width, height);
        let mut buf = Buffer::empty(Rect::new(0, 0, 104, 34));
        Chart::new("a title", &series, &view, domain).marks(&marks).render(area, &mut buf);
        // Nothing is written outside of its area.
        for (i, cell) in buf.content.iter().enumerate() {
            let (cx, cy) = ((i % 104) as u16, (i / 104) as u16);
            prop_assert!(cell.symbol() == " " || area.contains((cx, cy).into()), "{cx} {cy}");
        }
    }

    /// However many points share a column: the row of its highest and of its lowest one have a dot.
    #[test]
    fn extremes_of_each_column_are_drawn(
        values in prop::collection::vec(0.0..1.0f64, 200..3000),
        spike in any::<prop::sample::Index>(),
    ) {
        let mut values = values;
        let at = spike.index(values.len());
        values[at] = 50.0;
        let buckets = reduce::buckets(0..values.len(), |i| (i / 40) as i32);
        let row = |v: f64| (-v * 1000.0) as i32;
        let mut columns = Vec::new();
        reduce::columns(&buckets, &values, 0, |v| Some(row(v)), |c| columns.extend(c));
        prop_assert_eq!(columns.len(), values.len().div_ceil(40));
        for (column, chunk) in columns.iter().zip(values.chunks(40)) {
            let rows = || chunk.iter().map(|v| row(*v));
            prop_assert_eq!((Some(column.top), Some(column.bottom)), (rows().min(), rows().max()));
        }
        // And on the screen: the top of the spike is there.
        let c = curve(values);
        let view = ChartView::default();
        let series = [Series::line("", &c, Style::new())];
        let area = Rect::new(0, 0, 60, 12);
        let mut buf = Buffer::empty(area);
        Chart::new("x", &series, &view, Domain::of([&c], &view)).render(area, &mut buf);
        let plot = Chart::plot_area(area).unwrap();
        let high = (plot.y..plot.y + 3).any(|y| (plot.x..plot.right()).any(|x| {
            buf.cell((x, y)).unwrap().symbol().chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
        }));
        prop_assert!(high);
    }

    #[test]
    fn labels_do_not_overlap(from in -1e6..1e6f64, width in 1e-3..1e6f64, count in 1u16..20) {
        let ticks = scale::ticks(from, from + width, count);
        prop_assert!(ticks.len() <= usize::from(count) + 1);
        prop_assert!(ticks.windows(2).all(|t| t[0] < t[1]));
        for tick in ticks {
            prop_assert!(scale::number(tick).chars().count() <= 8, "{}", scale::number(tick));
        }
    }
}

#[test]
fn a_spike_of_one_step_is_seen_whatever_the_length() {
    let mut c = Curve::default();
    for step in 1..=200_000u64 {
        c.push(step, step as f64, if step == 123_456 { 40.0 } else { 1.0 + (step % 3) as f64 * 0.1 });
        c.thin(16_384);
    }
    let view = ChartView::default();
    let series = [Series::line("", &c, Style::new())];
    let drawn = shown(Chart::new("loss", &series, &view, Domain::of([&c], &view)), 80, 12);
    // The line reaches up to 40 in the upper half, which nothing else does.
    let upper: String = drawn.lines().skip(1).take(5).collect();
    assert!(upper.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{drawn}");
}

#[test]
fn a_logarithmic_x_axis_zooms_pans_and_reads_back() {
    let c = falling(10_000);
    let mut view = ChartView::default();
    view.toggle_log_x();
    let domain = Domain::of([&c], &view);
    let (from, to) = view.window(domain);
    assert_eq!((from, to), (1.0, 10_000.0));
    assert!((view.share(100.0, (from, to)) - 0.5).abs() < 1e-9);
    assert!((view.at_share(0.25, (from, to)) - 10.0).abs() < 1e-9);
    view.zoom_at(0.5, 0.5, domain);
    let (from, to) = view.window(domain);
    assert!((from - 10.0).abs() < 1e-6 && (to - 1000.0).abs() < 1e-6, "{from} {to}");
    view.pan(9.0, domain);
    assert!((view.window(domain).1 - 10_000.0).abs() < 1e-6);
    let series = [Series::line("", &c, Style::new())];
    view.reset();
    let drawn = shown(Chart::new("loss", &series, &view, domain), 80, 8);
    assert!(drawn.contains("100") && drawn.contains("10k"), "{drawn}");
}

#[test]
fn runs_of_other_batch_sizes_share_an_axis_of_samples() {
    let (a, b) = (falling(100), falling(50));
    let mut view = ChartView::default();
    view.set_units(Units { began: 0.0, epochs_per_step: 0.1, samples_per_step: 10.0 });
    while view.axis() != Axis::Samples {
        view.cycle_axis();
    }
    let other = Units { began: 500.0, epochs_per_step: 0.2, samples_per_step: 20.0 };
    // Step 50 of the one has seen as many samples as step 100 of the other.
    assert_eq!(view.unit_of(&b, 49, other), view.unit(&a, 99));
    view.cycle_axis();
    view.cycle_axis();
    assert_eq!((view.axis(), view.unit_of(&b, 49, other)), (Axis::Epoch, view.unit(&a, 99)));
}

/// The tenth run's number has two figures: both stand in the plot, and the border stays.
#[test]
fn numbers_of_runs_leave_the_border_alone() {
    let curve = falling(200);
    let view = ChartView::default();
    let series = [Series::line("a", &curve, Style::new()).number(Some(10))];
    let domain = Domain { first: 1.0, last: 200.0 };
    let text = shown(Chart::new("loss", &series, &view, domain), 40, 10);
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows.iter().any(|r| r.contains("10│")), "{text}");
    assert!(rows.iter().all(|r| r.chars().count() == 40), "{text}");
}
