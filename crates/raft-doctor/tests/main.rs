//! The program, as an operator runs it.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

mod common;

mod cluster;
mod program;
mod recover;
