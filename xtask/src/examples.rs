//! `cargo xtask examples`: every program in `examples/` does what it claims.

use std::env::consts::EXE_SUFFIX;
use std::process::Command;
use std::time::Duration;

use crate::process::{cargo, run, run_within};
use crate::step::{Check, Step};

pub(crate) const STEP: Step =
    Step { name: "examples", about: "Every example runs and ends well", run: run_all };

/// What a program is started with; those that are not here need nothing.
const ARGUMENTS: [(&str, &str); 1] = [("raft-kv", "demo --ops 20000")];

/// An example that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(180);

fn run_all(check: &mut Check<'_>) -> anyhow::Result<()> {
    let names: Vec<_> = check.workspace.packages_in("examples").map(|p| &*p.name).collect();
    let all = names.join(" --bin ");
    // As the tests are built, so that most of it is there already: optimised, with all assertions.
    let build = format!("build --workspace --all-features --profile test --bin {all}");
    run(&mut cargo(check.workspace, &build))?;
    // Not by `cargo run`: alone, each would ask for fewer features and be built once more.
    let programs = check.workspace.target().join("debug");
    for name in names {
        let arguments = ARGUMENTS.iter().find(|(of, _)| *of == name).map_or("", |known| known.1);
        let mut command = Command::new(programs.join(format!("{name}{EXE_SUFFIX}")));
        run_within(command.args(arguments.split_whitespace()), LIMIT)?;
    }
    Ok(())
}
