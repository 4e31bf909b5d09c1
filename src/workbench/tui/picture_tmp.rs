use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use run::dir::RunDir;
use run::events::Sample;
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted(String);
impl Wanted {
    pub fn new(image: &str, _run: &RunDir, _area: Rect) -> Option<Self> {
        Some(Self(image.to_owned()))
    }
    pub fn load(self) -> Loaded {
        Loaded(self)
    }
}
#[derive(Debug)]
pub struct Loaded(Wanted);
impl Loaded {
    pub fn wanted(&self) -> &Wanted {
        &self.0
    }
}
#[derive(Debug, Default)]
pub struct Ability;
pub fn draw(_l: Option<&Loaded>, sample: &Sample, theme: Theme, frame: &mut Frame, area: Rect) {
    frame.render_widget(ratatui::text::Span::styled(sample.image.clone(), theme.dim()), area);
}
