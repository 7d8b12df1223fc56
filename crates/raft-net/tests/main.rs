//! The frames, as their users see them.

mod common;

mod golden;
mod handshake;
mod hostile;
mod roundtrip;
