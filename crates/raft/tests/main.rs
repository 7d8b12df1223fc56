//! The facade, as its users see it: clusters in one process, on real disks and real networks.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

mod common;

mod cluster;
mod damage;
mod damaged_snapshots;
mod doubt;
mod full_disk;
mod membership;
mod persistence;
mod quic;
mod reads;
mod snapshots;
mod strangers;
mod transfer;
