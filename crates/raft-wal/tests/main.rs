//! The log, as its users see it: on disks that fail, and on real ones.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics when it fails"
)]

mod common;

mod crash;
mod damage;
mod damaged_lives;
mod doubt;
mod ending;
mod faults;
mod golden;
mod headers;
mod headless;
mod inspect;
mod log;
mod repair;
mod threads;
mod wal;
