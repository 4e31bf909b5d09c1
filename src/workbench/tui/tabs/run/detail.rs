//! Where the kept curves are too thin for the window, and what was read again for it.

use super::specs::{self, One};
use crate::tui::chart::{Domain, Sight, sight};
use crate::tui::model::{Model, Part, Watched};
use run::curve::Curve;
use std::collections::BTreeMap;

/// Points for each column of dots with which a curve shows all that can be seen of it: two extremes of twice as many groups
/// as columns.
const EACH: usize = 4;

/// Whether a curve shows all that can be seen of it in so many columns of dots.
pub fn fine(sight: &Sight, dots: usize) -> bool {
    !sight.thinned || sight.points >= EACH * dots
}

/// Whether a part has all the steps in sight.
pub fn covers(part: &Part, sight: &Sight) -> bool {
    part.steps.contains(sight.steps.start()) && part.steps.contains(sight.steps.end())
}

/// The runs on the charts by their numbers, with what the window shows of each.
pub fn runs_in_sight(model: &Model) -> Vec<(usize, &Watched, Sight)> {
    let domain = super::domain(model);
    let runs = specs::visible(model).into_iter();
    runs.filter_map(|one| Some((one.number, one.watched, of(model, one, domain)?))).collect()
}

/// What the window shows of a run: of its longest curve.
fn of(model: &Model, one: One, domain: Domain) -> Option<Sight> {
    let longest = one.watched.history.curves.values().max_by_key(|c| c.values.len())?;
    sight(longest, &model.charts.view, one.units(model), domain)
}

/// The curves that are drawn instead of the kept ones, if there are any for this window.
pub fn near<'a>(model: &Model, one: One<'a>, domain: Domain) -> Option<&'a BTreeMap<String, Curve>> {
    let part = one.watched.part.as_ref()?;
    let curves = part.curves.as_ref()?;
    let sight = of(model, one, domain)?;
    (sight.thinned && covers(part, &sight)).then_some(curves)
}
