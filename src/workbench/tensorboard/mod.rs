//! TensorBoard's event files: written beside a run's own events when `tensorboard` is set, and read, whoever wrote them.
//!
//! The supervisor writes them, so that a run on any number of ranks has one set. Curves are scalars under
//! `train/NAME` and `TASK/NAME`, sample captions are a picture and a text each under `samples/INDEX`, the settings a
//! text. A run that goes on from a checkpoint says so, and TensorBoard drops what it showed of later steps.

mod event;
mod read;
mod record;
mod sink;

pub use read::{Content, Reader, Told, is_event_file};
pub use sink::Sink;

#[cfg(test)]
mod tests;
