//! cocaptain.
fn main() {}
