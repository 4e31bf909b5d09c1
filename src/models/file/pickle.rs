//! A pickle of a state dict, read without executing anything.
//!
//! A pickle is a program for a stack machine that may call any Python function. This machine knows the opcodes that
//! state dicts are made of and a list of names that may be called; each of those stands for data here (a tensor's
//! place, a NumPy array's bytes). Everything else is an error that names it. Strings and bytes stay where they are in
//! the file; values live in one flat table, so that nothing here recurses whatever the nesting.

mod call;
mod machine;
mod value;

pub(super) use machine::read;
pub(super) use value::{Id, Pickle, Storage, Value};
