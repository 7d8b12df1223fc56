//! `cargo xtask format` and `cargo xtask lint`.

use crate::process::{cargo, run};
use crate::step::Step;

pub(crate) const FORMAT: Step = Step {
    name: "format",
    about: "All sources are formatted",
    run: |check| run(&mut cargo(check.workspace, "fmt --all --check")),
};

pub(crate) const CLIPPY: Step = Step {
    name: "lint",
    about: "No lint warns, in any target, with all features",
    run: |check| {
        let arguments = "clippy --workspace --all-targets --all-features -- -D warnings";
        run(&mut cargo(check.workspace, arguments))
    },
};
