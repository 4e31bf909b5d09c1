//! The pages of the workbench.

pub mod caption;
pub mod data;
pub mod devices;
pub mod evaluate;
pub mod run;
pub mod runs;
pub mod settings;
