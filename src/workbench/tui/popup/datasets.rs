//! The data tab's popup: where marked entries are written to.

use super::draw::{open, typed};
use crate::tui::format::{count, pad};
use crate::tui::model::Model;
use crate::tui::regions::Regions;
use data::convert::format_of;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::path::Path;
use tui_input::Input;

pub(super) fn export(model: &Model, input: &Input, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let theme = model.theme;
    let marked = model.datasets.marks.len() as u64;
    let title = format!("write {} marked", count(marked));
    let inner = open(theme, &title, (98, 6), frame, body, regions);
    let mut line = typed(theme, input, usize::from(inner.width.saturating_sub(7)));
    line.spans.insert(0, Span::styled(pad("path", 6), theme.dim()));
    let format = match format_of(Path::new(input.value().trim())) {
        Some(format) => format!("      as {}", format.name()),
        None => "      as a folder of pictures with their texts beside them".to_owned(),
    };
    let hint = ".json .jsonl .csv .tsv .filelist .tar, or a new folder; nothing is overwritten.";
    let lines = vec![
        line,
        Line::from(Span::styled(format, theme.good())),
        Line::from(""),
        Line::from(Span::styled(hint, theme.dim())),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}
