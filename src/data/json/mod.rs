//! JSON with places: one scanner, used by the readers and by the check.
//!
//! Text is not copied: a value is a [`Span`] of the file. What an annotation's entry is, is in [`entry`].

pub(crate) mod entry;
mod scanner;
mod text;

pub(crate) use scanner::{Fault, Scanner};
pub(crate) use text::{Holds, Span, Written};

#[cfg(test)]
mod tests;
