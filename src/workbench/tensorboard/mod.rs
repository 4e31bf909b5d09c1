//! TensorBoard's event files, written beside a run's own events when `tensorboard` is set.
//!
//! The supervisor writes them, so that a run on any number of ranks has one set. Curves are scalars under
//! `train/NAME` and `TASK/NAME`, sample captions are a picture and a text each under `samples/INDEX`, the settings a
//! text. A run that goes on from a checkpoint says so, and TensorBoard drops what it showed of later steps.

mod event;
mod record;
mod sink;

pub use sink::Sink;

#[cfg(test)]
mod tests;
