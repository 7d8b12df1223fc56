//! `cargo xtask examples`: every program in `examples/` does what it claims.

use std::time::Duration;

use crate::process::{cargo, run, run_within};
use crate::step::{Check, Step};

pub(crate) const STEP: Step =
    Step { name: "examples", about: "Every example runs and ends well", run: run_all };

/// What a program is started with; those that are not here need nothing.
const ARGUMENTS: [(&str, &str); 1] = [("raft-kv", " -- demo --ops 20000")];

/// An example that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(180);

fn run_all(check: &mut Check<'_>) -> anyhow::Result<()> {
    let names: Vec<_> = check.workspace.packages_in("examples").map(|p| &*p.name).collect();
    let all = names.join(" --package ");
    run(&mut cargo(check.workspace, &format!("build --release --package {all}")))?;
    for name in names {
        let arguments = ARGUMENTS.iter().find(|(of, _)| *of == name).map_or("", |known| known.1);
        let arguments = format!("run --quiet --release --package {name}{arguments}");
        run_within(&mut cargo(check.workspace, &arguments), LIMIT)?;
    }
    Ok(())
}
