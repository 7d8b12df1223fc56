//! `cargo xtask miri`: what is done with memory maps, by an interpreter that notices undefined
//! behaviour.
//!
//! Miri cannot map files. Under it a map is the bytes of the file in memory, and everything built on
//! it is what it is elsewhere: slices that outlive their map, on any thread.

use std::process::{Command, Stdio};

use crate::process::run;
use crate::step::{Check, Step};

pub(crate) const STEP: Step = Step {
    name: "miri",
    about: "No undefined behaviour around memory maps, as far as Miri can tell",
    run: interpret,
};

/// The tests that it runs: it is a thousand times slower than a processor.
const TESTS: &str = "read::source";

fn interpret(check: &mut Check<'_>) -> anyhow::Result<()> {
    // Not the toolchain that builds the rest: only a nightly one has it.
    let nightly = |arguments: &str| {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo", "miri"]).args(arguments.split_whitespace());
        command
    };
    let version = nightly("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        let how = "rustup toolchain install nightly --component miri";
        check.skip("miri", &format!("it is not installed: {how}"));
        return Ok(());
    }
    let target = check.workspace.target().join("miri");
    let mut command = nightly(&format!("test --package raft-wal --lib -- {TESTS}"));
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("CARGO_TARGET_DIR", target);
    // Cargo says to what it runs which toolchain it is of.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    run(command.current_dir(check.workspace.root()))
}
