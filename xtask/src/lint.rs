//! `cargo xtask format`, `cargo xtask lint` and `cargo xtask deny`.

use crate::process::{cargo, has_cargo, run};
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

pub(crate) const DENY: Step = Step {
    name: "deny",
    about: "Dependencies have the licences and versions that deny.toml allows",
    run: |check| {
        if !has_cargo(check.workspace, "deny") {
            check.skip("deny", "cargo-deny is not installed: cargo install cargo-deny");
            return Ok(());
        }
        run(&mut cargo(check.workspace, "deny check bans licenses sources"))
    },
};
