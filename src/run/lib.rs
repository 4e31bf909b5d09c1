//! What both programs share: settings, run directory, events, control protocol.
