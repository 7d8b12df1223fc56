//! `cargo xtask no-std`: `raft-core` needs no standard library, and neither do its dependencies.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use crate::process::{cargo, output, run};
use crate::step::{Check, Step};

pub(crate) const STEP: Step = Step {
    name: "no-std",
    about: "raft-core builds where there is no standard library",
    run: |check| {
        no_feature_asks_for_std(check)?;
        build(check)
    },
};

/// Targets without a standard library, any of which will do.
const TARGETS: [&str; 4] = [
    "thumbv7em-none-eabihf",
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv32imac-unknown-none-elf",
];

fn no_feature_asks_for_std(check: &Check<'_>) -> anyhow::Result<()> {
    let arguments = "tree --package raft-core --edges features,normal,no-proc-macro --prefix none";
    let tree = output(&mut cargo(check.workspace, arguments))?;
    let offenders: Vec<_> = tree.lines().filter(|line| line.contains("feature \"std\"")).collect();
    ensure!(offenders.is_empty(), "raft-core depends on {}", offenders.join(", "));
    println!("no dependency of raft-core has its feature \"std\"");
    Ok(())
}

fn build(check: &mut Check<'_>) -> anyhow::Result<()> {
    match TARGETS.into_iter().find(|target| is_installed(target)) {
        Some(target) => {
            let arguments = format!("check --package raft-core --target {target}");
            run(&mut cargo(check.workspace, &arguments))
        }
        None => {
            let reason = "no target without std is installed: rustup target add";
            check.skip("no-std-build", &format!("{reason} {}", TARGETS[0]));
            Ok(())
        }
    }
}

fn is_installed(target: &str) -> bool {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", target]);
    output(&mut command).is_ok_and(|libraries| Path::new(libraries.trim()).is_dir())
}
