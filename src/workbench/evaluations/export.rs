//! Results as files: CSV, Markdown, SVG, PNG.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::results::{Cell, Column, Outcome, Sort, Table};
use super::short_model;
use crate::plot::paper;

const FAMILY: &str = "mono";

/// Pixels: of a row of a panel, of its heading, of the names left of the bars, of a bar's longest, of all.
const ROW: i32 = 26;
const HEAD: i32 = 46;
const NAMES: i32 = 260;
const BAR: i32 = 360;
const WIDTH: i32 = NAMES + BAR + 240;

/// Pixels of a PNG for each of them, so that its small letters are good to read.
const FINE: i32 = 2;

/// Writes results in the form that the file's ending names.
///
/// # Errors
/// An ending that is none of .csv, .md, .svg, .png; nothing to write; what the system said.
pub fn write(outcomes: &[Outcome], file: &Path) -> Result<(), String> {
    let fail = |what: &str| format!("{}: {what}", file.display());
    if outcomes.is_empty() {
        return Err("there are no results yet".to_owned());
    }
    let table = Table::of(outcomes, Sort::Name);
    let text = |text: String| run::dir::replace_file(file, text.as_bytes()).map_err(|e| fail(&e.to_string()));
    match file.extension().and_then(|e| e.to_str()) {
        Some("csv") => text(csv(outcomes)),
        Some("md") => text(markdown(outcomes)),
        Some("svg") => text(svg(&table)?),
        Some("png") => png(&table, file).map_err(|e| fail(&e)),
        _ => Err(fail("the ending says the form: .csv, .md, .svg or .png")),
    }
}

/// One figure a line, all figures of all results.
pub fn csv(outcomes: &[Outcome]) -> String {
    let mut text = "checkpoint,task,data,how,figure,value,low95,high95,folder\n".to_owned();
    for o in outcomes {
        for (figure, value) in &o.figures {
            let [low, high] =
                o.interval(figure).map_or([String::new(), String::new()], |i| i.map(|x| x.to_string()));
            let fields = [
                &short_model(&o.model),
                &o.task,
                &o.data,
                &o.how,
                figure,
                &value.to_string(),
                &low,
                &high,
                &o.folder.display().to_string(),
            ];
            text += &fields.map(|field| run::escape::csv(field)).join(",");
            text.push('\n');
        }
    }
    text
}

/// Checkpoint by data set; the best of each column in bold, with its 95 % interval.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let table = Table::of(outcomes, Sort::Name);
    let safe = |text: &str| run::escape::line(text).replace('|', "\\|");
    let headings = table.columns.iter().map(|c| safe(&heading(c)));
    let mut text = format!("| checkpoint | {} |\n", headings.collect::<Vec<_>>().join(" | "));
    text += &format!("|---|{}\n", "---:|".repeat(table.columns.len()));
    for (row, name) in table.rows.iter().enumerate() {
        let cells = (0..table.columns.len()).map(|at| match table.cell(row, at) {
            Some(cell) if cell.best => format!("**{}**{}", value(cell), interval(cell)),
            Some(cell) => format!("{}{}", value(cell), interval(cell)),
            None => String::new(),
        });
        text += &format!("| {} | {} |\n", safe(name), cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn heading(column: &Column) -> String {
    format!("{} {}", column.words(), column.figure().1)
}

fn value(cell: &Cell) -> String {
    format!("{:.2}", cell.value)
}

fn interval(cell: &Cell) -> String {
    cell.interval.map_or(String::new(), |[low, high]| format!(" [{low:.1}, {high:.1}]"))
}

/// The table as an SVG picture.
///
/// # Errors
/// What the drawing library said.
pub fn svg(table: &Table) -> Result<String, String> {
    paper::register()?;
    let mut text = String::new();
    {
        let size = size(table, 1);
        let area = SVGBackend::with_string(&mut text, (pixels(size.0), pixels(size.1))).into_drawing_area();
        draw(&area, table, 1)?;
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(text)
}

fn png(table: &Table, file: &Path) -> Result<(), String> {
    paper::register()?;
    let (width, height) = size(table, FINE);
    let (width, height) = (pixels(width), pixels(height));
    let mut rgb = vec![255; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width, height)).into_drawing_area();
        draw(&area, table, FINE)?;
        area.present().map_err(|e| e.to_string())?;
    }
    let kind = image::ColorType::Rgb8;
    image::save_buffer_with_format(file, &rgb, width, height, kind, image::ImageFormat::Png)
        .map_err(|e| e.to_string())
}

fn pixels(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(1).max(1)
}

/// Width and height of the picture, so many pixels for each.
fn size(table: &Table, fine: i32) -> (i32, i32) {
    let rows = |at: usize| (0..table.rows.len()).filter(|row| table.cell(*row, at).is_some()).count();
    let panels = (0..table.columns.len()).map(|at| HEAD + ROW * i32::try_from(rows(at)).unwrap_or(0));
    (fine * WIDTH, fine * (panels.sum::<i32>() + 16))
}

/// A panel for each column, a bar for each checkpoint, its interval as a whisker; the best is dark.
#[allow(clippy::cast_possible_truncation)]
fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, table: &Table, fine: i32) -> Result<(), String>
where
    B::ErrorType: 'static,
{
    let fail = |e: DrawingAreaErrorKind<B::ErrorType>| e.to_string();
    area.fill(&WHITE).map_err(fail)?;
    let style = |size: i32, colour: RGBColor| (FAMILY, fine * size).into_font().color(&colour);
    let middle = |size: i32, right: bool| {
        let side = if right { HPos::Right } else { HPos::Left };
        style(size, RGBColor(40, 44, 52)).pos(Pos::new(side, VPos::Center))
    };
    let mut y = 8;
    for (at, column) in table.columns.iter().enumerate() {
        let cells: Vec<(&String, &Cell)> = table
            .rows
            .iter()
            .enumerate()
            .filter_map(|(row, name)| Some((name, table.cell(row, at)?)))
            .collect();
        let ends = cells.iter().map(|(_, c)| c.interval.map_or(c.value, |[_, high]| high.max(c.value)));
        let longest = ends.fold(1e-9, f64::max);
        let place = |x: f64| fine * NAMES + (x.max(0.0) / longest * f64::from(fine * BAR)).round() as i32;
        area.draw(&Text::new(heading(column), (fine * 16, fine * (y + 22)), middle(16, false)))
            .map_err(fail)?;
        y += HEAD;
        for (name, cell) in cells {
            let line = fine * (y + ROW / 2);
            let colour = if cell.best { RGBColor(36, 99, 184) } else { RGBColor(150, 185, 226) };
            let short: String = name.chars().take(28).collect();
            area.draw(&Text::new(short, (fine * (NAMES - 10), line), middle(13, true))).map_err(fail)?;
            let bar = [(fine * NAMES, line - fine * 8), (place(cell.value), line + fine * 8)];
            area.draw(&Rectangle::new(bar, colour.filled())).map_err(fail)?;
            let mut end = place(cell.value);
            if let Some([low, high]) = cell.interval {
                let (from, to) = (place(low), place(high));
                end = end.max(to);
                let ink = RGBColor(40, 44, 52);
                for path in [
                    vec![(from, line), (to, line)],
                    vec![(from, line - fine * 4), (from, line + fine * 4)],
                    vec![(to, line - fine * 4), (to, line + fine * 4)],
                ] {
                    area.draw(&PathElement::new(path, ink.stroke_width(pixels(fine)))).map_err(fail)?;
                }
            }
            let text = format!("{}{}", value(cell), interval(cell));
            area.draw(&Text::new(text, (end + fine * 10, line), middle(13, false))).map_err(fail)?;
            y += ROW;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::zero_shot;
    use super::*;

    fn all() -> Vec<Outcome> {
        vec![
            zero_shot("runs/a/checkpoints/step-500", "/d/val", 0.5, 3.0),
            zero_shot("runs/a<b>|\"c\"/checkpoints/step-1000", "/d/val", 0.7, 2.0),
        ]
    }

    #[test]
    fn tables_hold_every_figure_and_mark_the_best() {
        let text = csv(&all());
        assert_eq!(text.lines().count(), 1 + 2 * 3);
        assert!(text.contains("a-step-500,zero-shot,/d/val,,top1,0.5,0.469"), "{text}");
        assert!(text.contains("\"a<b>|\"\"c\"\"-step-1000\","), "{text}");
        let text = markdown(&all());
        assert!(text.contains("| **70.00** [67.1, 72.8] |") && text.contains("| 50.00 ["), "{text}");
        assert!(text.contains("a<b>\\|"), "a name breaks the table: {text}");
    }

    #[test]
    fn pictures_are_drawn_with_the_programs_own_font() {
        let dir = tempfile::tempdir().unwrap();
        let (svg, png) = (dir.path().join("r.svg"), dir.path().join("r.png"));
        write(&all(), &svg).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.contains("70.00 [67.1, 72.8]") && text.contains("a&lt;b&gt;"), "{text}");
        write(&all(), &png).unwrap();
        let picture = data::picture::decode(&std::fs::read(&png).unwrap()).unwrap();
        let dark = picture.rgb().chunks(3).filter(|p| p.iter().all(|c| *c < 120)).count();
        assert!(picture.width() > 500 && dark > 500, "no text is drawn: {dark} dark pixels");
        assert!(write(&all(), &dir.path().join("r.pdf")).unwrap_err().contains(".csv, .md"));
        assert!(write(&[], &svg).is_err());
    }
}
