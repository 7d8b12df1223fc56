//! Clusters of processes that are killed (SIGKILL) at bad moments.

#![allow(clippy::panic_in_result_fn, reason = "a test that panics has failed, as it should")]

mod cluster;
mod membership;
mod snapshots;
