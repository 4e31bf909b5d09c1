//! The pages of the workbench.

pub mod caption;
pub mod data;
pub mod devices;
pub mod run;
pub mod runs;
pub mod settings;
