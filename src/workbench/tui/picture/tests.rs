use super::*;
use image::{ImageBuffer, Rgb};
use ratatui::style::Color;

/// A run directory with a picture of 4 x 4 pixels, red to the left and blue to the right.
fn scene() -> (tempfile::TempDir, RunDir) {
    let folder = tempfile::tempdir().unwrap();
    let image = ImageBuffer::from_fn(4, 4, |x, _| if x < 2 { Rgb([255u8, 0, 0]) } else { Rgb([0, 0, 255]) });
    image.save(folder.path().join("a.png")).unwrap();
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nhello").unwrap();
    let run = RunDir::at(folder.path());
    (folder, run)
}

fn drawn(loaded: Option<&Loaded>, image: &str, width: u16, height: u16) -> Buffer {
    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
    draw(loaded, image, Style::new(), buf.area, &mut buf);
    buf
}

fn text(buf: &Buffer) -> String {
    buf.content
        .iter()
        .map(|c| c.symbol())
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn half_blocks_show_the_pixels() {
    let (_folder, run) = scene();
    let area = Rect::new(0, 0, 12, 4);
    let loaded = Wanted::new("a.png", &run, area, &Ability::default()).unwrap().load();
    assert_eq!((loaded.content.pixels, loaded.error()), (Some((4, 4)), None));
    let buf = drawn(Some(&loaded), "a.png", 12, 4);
    // 8 x 8 pixels in the middle of 12 columns.
    let at = |x, y| buf.cell((x, y)).unwrap().bg;
    assert_eq!([at(1, 0), at(2, 0), at(5, 3)], [Color::Reset, Color::Rgb(255, 0, 0), Color::Rgb(255, 0, 0)]);
    assert_eq!([at(6, 0), at(9, 3), at(10, 3)], [Color::Rgb(0, 0, 255), Color::Rgb(0, 0, 255), Color::Reset]);
}

#[test]
fn text_stands_for_what_cannot_be_drawn() {
    let (_folder, run) = scene();
    let area = Rect::new(0, 0, 40, 5);
    let load = |name: &str, ability: &Ability| Wanted::new(name, &run, area, ability).unwrap().load();
    let ability = Ability::default();
    let broken = load("broken.png", &ability);
    assert!(text(&drawn(Some(&broken), "broken.png", 40, 5)).starts_with("broken.png damaged picture"));
    assert!(load("none.png", &ability).error().unwrap().contains("No such file"));
    assert!(load(".", &ability).error().is_some());
    let off = load("a.png", &Ability::new(Way::Off));
    assert_eq!(text(&drawn(Some(&off), "a.png", 40, 5)), "a.png 4x4");
    // Not there yet, another picture, and a smaller pane than it was made for.
    let whole = load("a.png", &ability);
    assert_eq!(text(&drawn(None, "dir/a.png", 40, 5)), "a.png");
    assert_eq!(text(&drawn(Some(&whole), "b.png", 40, 5)), "b.png");
    assert_eq!(text(&drawn(Some(&whole), "a.png", 8, 2)), "a.png 4x4");
    drawn(Some(&whole), "a.png", 0, 0);
    assert!(Wanted::new("a.png", &run, Rect::default(), &ability).is_none());
}

#[test]
fn a_changed_file_is_read_again() {
    let (folder, run) = scene();
    let area = Rect::new(0, 0, 10, 5);
    let ability = Ability::default();
    let wanted = Wanted::new("a.png", &run, area, &ability).unwrap();
    let first = wanted.clone().load();
    let again = wanted.clone().load();
    let protocol = |l: &Loaded| l.content.drawn.clone().unwrap().unwrap();
    assert!(Arc::ptr_eq(&protocol(&first), &protocol(&again)), "kept");
    assert_ne!(wanted, Wanted::new("a.png", &run, area, &ability.renewed()).unwrap());
    ImageBuffer::from_pixel(9, 3, Rgb([0u8, 255, 0])).save(folder.path().join("a.png")).unwrap();
    assert_eq!(wanted.load().content.pixels, Some((9, 3)));
}

#[test]
fn the_way_follows_answers_and_wishes() {
    let answer = |kitty, sixel, cell| query::Answer { kitty, sixel, cell, ..query::Answer::default() };
    let none = query::Environment::default();
    let iterm2 = query::Environment { only_iterm2: true, cell: Some((8, 16)) };
    let name = |mode, answer, environment| Ability::new(way(mode, &answer, environment)).name();
    let cell = Some((10, 20));
    assert_eq!(name(Mode::Auto, answer(true, true, cell), none), "kitty");
    assert_eq!(name(Mode::Auto, answer(false, true, cell), none), "sixel");
    assert_eq!(name(Mode::Auto, answer(true, true, None), none), "halfblocks");
    assert_eq!(name(Mode::Auto, answer(true, true, None), iterm2), "iterm2");
    assert_eq!(name(Mode::By(ProtocolType::Sixel), answer(true, false, cell), none), "sixel");
    assert_eq!(
        name(Mode::By(ProtocolType::Kitty), answer(false, false, None), none),
        "kitty",
        "asked for by name"
    );
    assert_eq!("off".parse(), Ok(Mode::Off));
    assert!("kity".parse::<Mode>().unwrap_err().contains("auto, kitty"));
}

#[test]
fn pixels_are_encoded_for_each_protocol() {
    let (_folder, run) = scene();
    for protocol in [ProtocolType::Kitty, ProtocolType::Sixel, ProtocolType::Iterm2] {
        let answer = query::Answer { cell: Some((10, 20)), ..query::Answer::default() };
        let ability = Ability::new(way(Mode::By(protocol), &answer, query::Environment::default()));
        let area = Rect::new(0, 0, 20, 6);
        let loaded = Wanted::new("a.png", &run, area, &ability).unwrap().load();
        let buf = drawn(Some(&loaded), "a.png", 20, 6);
        assert_eq!(loaded.error(), None);
        // 120 x 120 pixels: 12 x 6 cells from column 4 on.
        assert!(buf.cell((4, 0)).unwrap().symbol().starts_with('\x1b'), "{protocol:?}");
    }
}

#[test]
fn a_key_goes_through_all_ways_and_pictures_are_made_anew() {
    let terminal = Terminal {
        answer: query::Answer { sixel: true, cell: Some((10, 20)), ..query::Answer::default() },
        ..Terminal::default()
    };
    let mut ability = Ability::of(Mode::Auto, terminal);
    let mut seen = vec![ability.name()];
    for _ in 0..Mode::ALL.len() {
        let next = ability.by(ability.mode().next());
        let area = Rect::new(0, 0, 10, 5);
        let wanted = |a: &Ability| Wanted::new("a.png", &RunDir::at("."), area, a);
        assert_ne!(wanted(&ability), wanted(&next));
        ability = next;
        seen.push(ability.name());
        assert_eq!(ability.mode().name().parse(), Ok(ability.mode()));
    }
    assert_eq!(seen, ["sixel", "kitty", "sixel", "iterm2", "halfblocks", "off", "sixel"]);
}
