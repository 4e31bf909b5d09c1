//! Pictures in the terminal: by kitty's, iTerm2's or the sixel protocol, else by half blocks.
//!
//! Nothing here reads, scales or encodes while a frame is drawn:
//!
//! 1. After the first frame and before the event stream is made, [`detect`] asks the terminal what it can draw (on a
//!    blocking thread; half a second at most, no time at all when `COCAPTAIN_IMAGES` names a way that needs no question).
//!    What a person typed meanwhile comes back with the answer. [`Ability::by`] draws another way from then on.
//! 2. `update` makes a [`Wanted`] of the picture, the pane's area of the last frame and the [`Ability`], and sends it
//!    off as a command when it is not the one sent last.
//! 3. The command runs [`Wanted::load`] on a blocking thread. Its [`Loaded`] comes back as a message, and is dropped
//!    when another picture or size is wanted by then: `Loaded::wanted` is its generation.
//! 4. `view` calls [`draw`]; until the picture is there, or when it cannot be drawn, a line of text stands for it.
//!
//! The newest encoded pictures are kept, so that scrubbing back and forth costs nothing. After a suspend, a resize or
//! whatever else made the terminal forget them, [`Ability::renewed`] makes all of them be sent again.

mod cache;
mod fit;
mod query;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Style;
use ratatui::widgets::Widget;
use ratatui_image::picker::{Picker, ProtocolType};
use ratatui_image::protocol::Protocol;
use ratatui_image::protocol::halfblocks::Halfblocks;
use ratatui_image::{FontSize, Image, Resize};
use run::dir::RunDir;

use super::datasets::Shared;
use data::loader::View;

use cache::{Cache, Key};

/// The environment variable that chooses how pictures are drawn.
pub const VARIABLE: &str = "COCAPTAIN_IMAGES";

/// Longest time that the terminal is given to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// How pictures are to be drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As well as the terminal can.
    #[default]
    Auto,
    /// By this protocol.
    By(ProtocolType),
    /// Not at all: their names and sizes only.
    Off,
}

impl Mode {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::By(ProtocolType::Kitty),
        Self::By(ProtocolType::Sixel),
        Self::By(ProtocolType::Iterm2),
        Self::By(ProtocolType::Halfblocks),
        Self::Off,
    ];

    /// Its name, as it is read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::By(ProtocolType::Kitty) => "kitty",
            Self::By(ProtocolType::Sixel) => "sixel",
            Self::By(ProtocolType::Iterm2) => "iterm2",
            Self::By(ProtocolType::Halfblocks) => "halfblocks",
            Self::Off => "off",
        }
    }

    /// The one behind it.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|mode| *mode == self).map_or(0, |at| at + 1);
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" | "auto" => Self::Auto,
            "kitty" => Self::By(ProtocolType::Kitty),
            "sixel" => Self::By(ProtocolType::Sixel),
            "iterm2" => Self::By(ProtocolType::Iterm2),
            "halfblocks" => Self::By(ProtocolType::Halfblocks),
            "off" => Self::Off,
            other => {
                return Err(format!(
                    "{VARIABLE}={}: not one of auto, kitty, sixel, iterm2, halfblocks, off",
                    run::escape::line(other)
                ));
            }
        })
    }
}

/// How pictures are drawn on this terminal; half blocks by default, which need no answer of it. Clones share the
/// pictures that are kept.
#[derive(Clone, Debug)]
pub struct Ability {
    way: Way,
    /// What was asked for.
    mode: Mode,
    /// What is known of the terminal.
    terminal: Terminal,
    /// Counts [`Ability::renewed`].
    generation: u64,
    kept: Arc<Mutex<Cache>>,
}

/// What is known of a terminal: what it answered, if it was asked, and what the environment says.
#[derive(Clone, Debug, Default)]
struct Terminal {
    answer: query::Answer,
    environment: query::Environment,
}

#[derive(Clone, Debug)]
enum Way {
    Halfblocks,
    Pixels(Picker),
    Off,
}

impl Default for Ability {
    fn default() -> Self {
        Self::new(Way::Halfblocks)
    }
}

impl PartialEq for Ability {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation && self.name() == other.name()
    }
}

impl Ability {
    fn new(way: Way) -> Self {
        Self { way, mode: Mode::Auto, terminal: Terminal::default(), generation: 0, kept: Arc::default() }
    }

    fn of(mode: Mode, terminal: Terminal) -> Self {
        let way = way(mode, &terminal.answer, terminal.environment);
        Self { mode, terminal, ..Self::new(way) }
    }

    /// What was asked for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the terminal said that it has kitty's graphics.
    pub fn answered_kitty(&self) -> bool {
        self.terminal.answer.kitty
    }

    /// This terminal, drawn on another way.
    #[must_use]
    pub fn by(&self, mode: Mode) -> Self {
        Self { generation: self.generation + 1, ..Self::of(mode, self.terminal.clone()) }
    }

    /// The same ability, with every picture to be encoded and sent anew.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { generation: self.generation + 1, kept: Arc::default(), ..self.clone() }
    }

    /// "kitty", "sixel", "iterm2", "halfblocks" or "off".
    pub fn name(&self) -> &'static str {
        match &self.way {
            Way::Halfblocks => "halfblocks",
            Way::Off => "off",
            Way::Pixels(picker) => match picker.protocol_type() {
                ProtocolType::Kitty => "kitty",
                ProtocolType::Sixel => "sixel",
                ProtocolType::Iterm2 => "iterm2",
                ProtocolType::Halfblocks => "halfblocks",
            },
        }
    }

    fn encode(&self, picture: &data::picture::Picture, size: Size) -> Result<Option<Protocol>, String> {
        let protocol = match &self.way {
            Way::Off => return Ok(None),
            // A cell is one pixel wide and two high.
            Way::Halfblocks => {
                let (image, cells) = fit::fit(picture, size, FontSize::new(1, 2)).ok_or("no room")?;
                Halfblocks::new(image, cells).map(Protocol::Halfblocks)
            }
            Way::Pixels(picker) => {
                let (image, cells) = fit::fit(picture, size, picker.font_size()).ok_or("no room")?;
                picker.new_protocol(image, cells, Resize::Fit(None))
            }
        };
        protocol.map(Some).map_err(|e| e.to_string())
    }
}

/// What [`detect`] found.
#[derive(Clone, Debug)]
pub struct Detected {
    /// How pictures can be drawn.
    pub ability: Ability,
    /// What a person typed while the terminal was asked.
    pub typed: String,
    /// Whether the terminal's ground is light.
    pub light: Option<bool>,
    /// What is wrong with the environment variable.
    pub complaint: Option<String>,
}

/// Finds out how pictures can be drawn here. Blocks, half a second at most; needs raw mode, and nobody else may read
/// from the terminal meanwhile.
///
/// What `COCAPTAIN_IMAGES` says counts first, then the options file's `chosen`.
pub fn detect(chosen: Option<Mode>) -> Detected {
    let variable = std::env::var(VARIABLE).unwrap_or_default();
    let (mode, complaint) = match variable.parse() {
        Ok(_) if variable.is_empty() => (chosen.unwrap_or_default(), None),
        Ok(mode) => (mode, None),
        Err(complaint) => (chosen.unwrap_or_default(), Some(complaint)),
    };
    // What the options say may be changed while the workbench is open: then the answer is needed all the same.
    let needs_no_answer =
        !variable.is_empty() && matches!(mode, Mode::Off | Mode::By(ProtocolType::Halfblocks));
    let answer = match needs_no_answer || !query::can_ask() {
        true => query::Answer::default(),
        // Lets answers and pictures through when tmux is in between.
        false => query::ask(Picker::halfblocks().tmux_detected(), PATIENCE),
    };
    let (typed, light) = (answer.typed.clone(), answer.light);
    let terminal = Terminal { answer, environment: query::environment() };
    Detected { ability: Ability::of(mode, terminal), typed, light, complaint }
}

/// A cell's size in pixels where nobody tells it and a protocol was asked for by name: a usual one.
const CELL: (u16, u16) = (10, 20);

/// The way to draw, from what was asked for, what the terminal answered, and what the environment says of it.
fn way(mode: Mode, answer: &query::Answer, environment: query::Environment) -> Way {
    let known = answer.cell.or(environment.cell);
    let cell = match mode {
        Mode::Off => return Way::Off,
        Mode::By(ProtocolType::Halfblocks) => return Way::Halfblocks,
        Mode::By(_) => known.unwrap_or(CELL),
        Mode::Auto => match known {
            Some(cell) => cell,
            None => return Way::Halfblocks,
        },
    };
    // The only way to a picker with a known cell size that does not ask the terminal itself: the crate's own question
    // leaves a thread behind that eats keys when the terminal does not answer.
    #[allow(deprecated)]
    let mut picker = Picker::from_fontsize(cell.into());
    match mode {
        Mode::By(protocol) => picker.set_protocol_type(protocol),
        _ if environment.only_iterm2 => picker.set_protocol_type(ProtocolType::Iterm2),
        _ if answer.kitty => picker.set_protocol_type(ProtocolType::Kitty),
        _ if answer.sixel => picker.set_protocol_type(ProtocolType::Sixel),
        _ => {}
    }
    match picker.protocol_type() {
        ProtocolType::Halfblocks => Way::Halfblocks,
        _ => Way::Pixels(picker),
    }
}

/// Where a picture comes from.
#[derive(Clone, Debug, PartialEq)]
enum From {
    /// A file, or one in the run directory.
    File { run: PathBuf },
    /// A sample of a dataset, as it is or as a model sees it.
    Sample { data: Shared, sample: u32, seen: Option<View> },
}

/// A picture to be drawn in an area of some size.
#[derive(Clone, Debug)]
pub struct Wanted {
    image: String,
    from: From,
    size: Size,
    ability: Ability,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.image == other.image
            && self.from == other.from
            && self.size == other.size
            && self.ability == other.ability
    }
}

impl Wanted {
    /// The picture at path `image`, a relative one being looked for in the run directory too; none without room.
    pub fn new(image: &str, run: &RunDir, area: Rect, ability: &Ability) -> Option<Self> {
        let from = From::File { run: run.path().to_owned() };
        let wanted =
            || Self { image: image.to_owned(), from, size: area.as_size(), ability: ability.clone() };
        (!area.is_empty() && !image.is_empty()).then(wanted)
    }

    /// The picture of a sample, as it is or as a model sees it; none without room.
    pub fn of_sample(
        data: &Shared,
        sample: u32,
        seen: Option<View>,
        area: Rect,
        ability: &Ability,
    ) -> Option<Self> {
        let image = data.dataset.image_name(sample as usize)?.to_owned();
        let from = From::Sample { data: data.clone(), sample, seen };
        let wanted = || Self { image, from, size: area.as_size(), ability: ability.clone() };
        (!area.is_empty()).then(wanted)
    }

    /// Whether it is this sample's, as it is or as a model sees it.
    pub fn is_of(&self, data: &Shared, sample: u32, seen: Option<View>) -> bool {
        self.from == From::Sample { data: data.clone(), sample, seen }
    }

    /// The picture's path.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The size of the area.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Reads, decodes, scales and encodes it, or takes it from what is kept. Blocks.
    pub fn load(self) -> Loaded {
        let content = self.content();
        Loaded { wanted: self, content }
    }

    fn content(&self) -> Content {
        let (path, part) = match &self.from {
            From::File { .. } if self.is_part() => {
                let (file, offset, length) = crate::foreign::part_of(&self.image).unwrap_or_default();
                (file, format!("{offset}+{length}"))
            }
            From::File { run } => {
                let in_run = run.join(&self.image);
                (if in_run.exists() { in_run } else { PathBuf::from(&self.image) }, String::new())
            }
            From::Sample { data, sample, seen } => match data.dataset.image(*sample as usize) {
                // Several pictures stand in one part, and each is seen in many ways.
                Some(image) => {
                    let drawn = seen.map_or_else(String::new, |view| format!("{view:?} {sample}"));
                    (image.path(), format!("{} {drawn}", image.name))
                }
                None => return Content::failed("there is no such sample"),
            },
        };
        let meta = match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() && (meta.len() <= MAX_BYTES || self.is_sample() || self.is_part()) => {
                meta
            }
            Ok(meta) if meta.is_file() => return Content::failed("file too large"),
            Ok(_) => return Content::failed("not a file"),
            Err(e) => return Content::failed(e),
        };
        let key = Key { path, modified: meta.modified().ok(), length: meta.len(), size: self.size, part };
        if let Some(kept) = self.ability.kept.lock().ok().and_then(|mut cache| cache.get(&key)) {
            return kept;
        }
        let content = match self.picture(&key.path) {
            Ok(picture) => Content {
                pixels: Some((picture.width(), picture.height())),
                drawn: self.ability.encode(&picture, self.size).map(|p| p.map(Arc::new)),
            },
            Err(e) => Content::failed(e),
        };
        if let Ok(mut cache) = self.ability.kept.lock() {
            cache.put(key, content.clone());
        }
        content
    }
}

impl Wanted {
    /// Whether it stands within a larger file, as pictures of event files do.
    fn is_part(&self) -> bool {
        matches!(self.from, From::File { .. }) && crate::foreign::part_of(&self.image).is_some()
    }

    fn is_sample(&self) -> bool {
        matches!(self.from, From::Sample { .. })
    }

    /// The decoded picture, or what a model is given of it.
    fn picture(&self, path: &Path) -> Result<data::picture::Picture, String> {
        let decode = |bytes: Vec<u8>| data::picture::decode(&bytes).map_err(|e| e.to_string());
        match &self.from {
            From::File { .. } => {
                let part = crate::foreign::part_of(&self.image).filter(|(_, _, length)| *length <= MAX_BYTES);
                let bytes = match part {
                    Some((file, offset, length)) => crate::foreign::read_part(&file, offset, length),
                    None => std::fs::read(path),
                };
                bytes.map_err(|e| e.to_string()).and_then(decode)
            }
            From::Sample { data, sample, seen: None } => {
                let image = data.dataset.image(*sample as usize).ok_or("there is no such sample")?;
                image.read().map_err(|e| e.to_string()).and_then(decode)
            }
            From::Sample { data, sample, seen: Some(view) } => {
                data::loader::seen(&data.dataset, *sample as usize, view).map(|(picture, _)| picture)
            }
        }
    }
}

/// What came of a picture.
#[derive(Clone)]
struct Content {
    /// Width and height in pixels.
    pixels: Option<(usize, usize)>,
    /// The encoded picture; none when pictures are off; else what went wrong.
    drawn: Result<Option<Arc<Protocol>>, String>,
}

impl Content {
    fn failed(why: impl ToString) -> Self {
        Self { pixels: None, drawn: Err(why.to_string()) }
    }
}

/// A picture ready to be drawn, or why it cannot be.
pub struct Loaded {
    wanted: Wanted,
    content: Content,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("wanted", &self.wanted).field("pixels", &self.content.pixels).finish()
    }
}

impl Loaded {
    /// What it was loaded for.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Why it cannot be drawn.
    pub fn error(&self) -> Option<&str> {
        self.content.drawn.as_ref().err().map(String::as_str)
    }
}

/// Draws the picture at path `image` into the middle of `area`, or a line of text in `style` when `loaded` is another
/// one, does not fit or could not be read.
pub fn draw(loaded: Option<&Loaded>, image: &str, style: Style, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    let loaded = loaded.filter(|l| l.wanted.image == image);
    let name = Path::new(image).file_name().map_or(Cow::Borrowed(image), |n| n.to_string_lossy());
    let mut lines = vec![run::escape::line(&name).into_owned()];
    if let Some(loaded) = loaded {
        if let Ok(Some(protocol)) = &loaded.content.drawn {
            let size = protocol.size();
            if size.width <= area.width && size.height <= area.height {
                let middle = Rect {
                    x: area.x + (area.width - size.width) / 2,
                    y: area.y + (area.height - size.height) / 2,
                    width: size.width,
                    height: size.height,
                };
                Image::new(protocol).render(middle, buf);
                return;
            }
        }
        lines.extend(loaded.content.pixels.map(|(w, h)| format!("{w}x{h}")));
        lines.extend(loaded.error().map(|e| run::escape::line(e).into_owned()));
    }
    let top = area.height.saturating_sub(lines.len() as u16) / 2;
    for (line, y) in lines.iter().zip(area.y + top..area.bottom()) {
        let width = unicode_width::UnicodeWidthStr::width(line.as_str()) as u16;
        let x = area.x + area.width.saturating_sub(width) / 2;
        buf.set_stringn(x, y, line, usize::from(area.width), style);
    }
}

#[cfg(test)]
mod tests;
