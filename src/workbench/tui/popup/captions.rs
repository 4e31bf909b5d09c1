//! The caption tab's popups: a path, a model, how captions are written.

use super::draw::{open, search_popup, typed};
use crate::tui::captions::{Choice, DecodingForm, FIELDS};
use crate::tui::format::{cut, pad};
use crate::tui::model::Model;
use crate::tui::regions::{Hit, Regions};
use crate::tui::tabs::runs::first_visible;
use crate::tui::view;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tui_input::Input;

/// What the list offers for what is typed: models that have its words, then the typed text itself as a model; for the
/// second slot first of all none.
pub fn models_found(choices: &[Choice], slot: usize, typed: &str) -> Vec<Choice> {
    let typed = typed.trim();
    let words: Vec<String> = typed.split_whitespace().map(str::to_lowercase).collect();
    let has = |text: &str, word: &String| text.to_lowercase().contains(word);
    let passes = |c: &&Choice| words.iter().all(|w| has(&c.label, w) || has(&c.model, w));
    let mut found: Vec<Choice> = choices.iter().filter(passes).cloned().collect();
    // What is seen counts before the rest of the path, which may have a word by chance.
    found.sort_by_key(|c| !words.iter().all(|w| has(&c.label, w)));
    if slot == 1 && typed.is_empty() {
        found.insert(0, Choice { label: "no second model".to_owned(), model: String::new() });
    }
    if !typed.is_empty() {
        found.push(Choice {
            label: format!("'{typed}' as it is: a run, folder, file or known name"),
            model: typed.to_owned(),
        });
    }
    found
}

pub(super) fn go_to(model: &Model, input: &Input, frame: &mut Frame, body: Rect, regions: &mut Regions) {
    let inner = open(model.theme, "go to", (98, 5), frame, body, regions);
    let mut line = typed(model.theme, input, usize::from(inner.width.saturating_sub(7)));
    line.spans.insert(0, Span::styled(pad("path", 6), model.theme.dim()));
    let hint = if model.page == crate::tui::model::Page::Data {
        "An annotation file, tar shards ({00..12}.tar, ::), a .filelist or a folder; ~ is your home."
    } else {
        "A folder, or a picture; ~ is your home."
    };
    let hint = Span::styled(hint, model.theme.dim());
    frame.render_widget(Paragraph::new(vec![line, Line::from(""), Line::from(hint)]), inner);
}

pub(super) fn models(
    model: &Model,
    slot: usize,
    input: &Input,
    selected: usize,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let title = if slot == 1 { "compare with" } else { "model" };
    let found = models_found(&model.captions.choices, slot, input.value());
    let list = search_popup(theme, title, input, frame, body, regions);
    let (width, visible) = (usize::from(list.width), usize::from(list.height));
    if found.is_empty() {
        let text = "no run has a checkpoint yet: type a model folder or a weights file";
        frame.render_widget(Span::styled(text, theme.dim()), Rect { height: list.height.min(1), ..list });
        return;
    }
    let selected = selected.min(found.len() - 1);
    let start = first_visible(selected, found.len(), visible);
    for (i, choice) in found.iter().enumerate().skip(start).take(visible) {
        let place = Rect { y: list.y + view::cells(i - start), height: 1, ..list };
        let style = if i == selected { theme.selected() } else { theme.text() };
        frame.render_widget(Span::styled(pad(&choice.label, width), style), place);
        regions.add(place, Hit::PopupRow(i));
    }
}

pub(super) fn decoding(
    model: &Model,
    form: &DecodingForm,
    frame: &mut Frame,
    body: Rect,
    regions: &mut Regions,
) {
    let theme = model.theme;
    let inner =
        open(theme, "how captions are written", (78, view::cells(FIELDS.len() + 4)), frame, body, regions);
    for (i, ((name, takes), input)) in FIELDS.iter().zip(&form.inputs).enumerate() {
        if i >= usize::from(inner.height.saturating_sub(2)) {
            break;
        }
        let place = Rect { y: inner.y + view::cells(i), height: 1, ..inner };
        let chosen = i == form.selected;
        let style = if chosen { theme.key() } else { theme.dim() };
        let mut line = Line::from(vec![Span::styled(
            format!("{}{}", if chosen { "› " } else { "  " }, pad(name, 20)),
            style,
        )]);
        if chosen {
            line.spans.extend(typed(theme, input, 20).spans);
        } else {
            line.spans.push(Span::raw(pad(input.value(), 20)));
        }
        let used = line.width();
        line.spans.push(Span::raw(" ".repeat(44usize.saturating_sub(used))));
        line.spans.push(Span::styled(cut(takes, usize::from(inner.width).saturating_sub(44)), theme.dim()));
        frame.render_widget(line, place);
    }
    let verdict = match form.read() {
        Ok(decoding) => {
            Span::styled(format!("✓ {}", cut(&crate::tui::captions::words(&decoding), 68)), theme.good())
        }
        Err(e) => Span::styled(format!("✕ {}", cut(&e, 68)), theme.bad()),
    };
    let bottom = Rect { y: inner.bottom().saturating_sub(1), height: inner.height.min(1), ..inner };
    frame.render_widget(verdict, bottom);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_label_come_before_those_of_the_path() {
        let choice = |step: u32| Choice {
            label: format!("a  step {step}"),
            model: format!("/tmp/tmp2/runs/a/checkpoints/step-{step}"),
        };
        let choices = [choice(3), choice(2)];
        let labels =
            |typed| models_found(&choices, 0, typed).into_iter().map(|c| c.label).collect::<Vec<_>>();
        assert_eq!(labels("step 2")[..2], ["a  step 2", "a  step 3"]);
        assert_eq!(labels("TMP2").len(), 3);
        assert_eq!(labels("step 4").len(), 1, "only what is typed");
        assert_eq!(models_found(&choices, 1, " ")[0].model, "");
    }
}
