//! `cargo xtask test`: all tests, with nothing but Rust.

use crate::process::{cargo, has_cargo, run};
use crate::step::{Check, Step};
use crate::{matrix, no_std};

/// What `cargo xtask test` is.
pub(crate) const STEPS: [Step; 4] = [
    Step { name: "suite", about: "Unit and integration tests pass", run: suite },
    Step { name: "doctest", about: "The examples in the documentation work", run: doctest },
    matrix::STEP,
    no_std::STEP,
];

fn suite(check: &mut Check<'_>) -> anyhow::Result<()> {
    let runner =
        if has_cargo(check.workspace, "nextest") { "nextest run" } else { "test --all-targets" };
    run(&mut cargo(check.workspace, &format!("{runner} --workspace --all-features --no-fail-fast")))
}

fn doctest(check: &mut Check<'_>) -> anyhow::Result<()> {
    run(&mut cargo(check.workspace, "test --doc --workspace --all-features"))
}
