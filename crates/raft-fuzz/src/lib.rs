//! What bytes from outside can do: a target for everything that reads bytes of a peer or of a
//! file.
//!
//! A target takes any bytes and panics if a decoder does, or if what it made of them is wrong. A
//! fuzzer looks for such bytes (`cargo xtask fuzz`); the tests of this crate look around valid ones
//! for as long as a test may take.
//!
//! ```
//! for target in raft_fuzz::TARGETS {
//!     (target.run)(b"anything");
//! }
//! ```

#![forbid(unsafe_code)]

mod damage;
mod frames;
mod handshake;
mod log;
mod names;
mod snapshots;
mod step;
mod values;

/// Something that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What a fuzzer calls it.
    pub name: &'static str,
    /// Takes any bytes.
    ///
    /// # Panics
    ///
    /// If they make a decoder panic, or it reads from them what is not there.
    pub run: fn(&[u8]),
    /// Bytes that are valid, to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target { name: "frames", run: frames::run, seeds: frames::seeds },
    Target { name: "handshake", run: handshake::run, seeds: handshake::seeds },
    Target { name: "membership", run: values::membership, seeds: values::memberships },
    Target { name: "snapshot_meta", run: values::snapshot_meta, seeds: values::snapshot_metas },
    Target { name: "manifest", run: values::manifest, seeds: values::manifests },
    Target { name: "step", run: step::run, seeds: step::seeds },
    Target { name: "log", run: log::run, seeds: log::seeds },
    Target { name: "snapshots", run: snapshots::run, seeds: snapshots::seeds },
];

/// Runs one target.
///
/// # Panics
///
/// If there is none of that name, or it panics.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes);
}
