//! The shelf of snapshots, as its users see it.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics when it fails"
)]

mod common;

mod crash;
mod damage;
mod give;
mod golden;
mod store;
mod transfer;
