//! `cargo xtask fuzz`: lets a fuzzer look for bytes that a decoder cannot bear.
//!
//! The same targets run as tests of `raft-fuzz` everywhere; this goes on for as long as one likes.

use anyhow::ensure;

use crate::process::{cargo, has_cargo, run};
use crate::workspace::Workspace;

/// What to fuzz, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The target; all of them, one after the other, if none is given.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

const DIR: &str = "xtask/fuzz";

pub(crate) fn run_all(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    ensure!(has_cargo(workspace, "fuzz"), "cargo-fuzz is not installed: cargo install cargo-fuzz");
    let all = targets(workspace)?;
    let is_wanted = |name: &String| options.target.as_ref().is_none_or(|target| target == name);
    let wanted: Vec<_> = all.iter().filter(|name| is_wanted(name)).collect();
    ensure!(!wanted.is_empty(), "there is no such target; there are {}", all.join(", "));
    let corpus = workspace.root().join("target/corpus");
    run(cargo(workspace, "run --quiet --package raft-fuzz --").arg(&corpus))?;
    for name in wanted {
        let mut command = cargo(workspace, &format!("fuzz run --fuzz-dir {DIR} {name}"));
        command.arg(corpus.join(name)).arg("--");
        command.arg(format!("-max_total_time={}", options.seconds));
        // The instrumentation is not stable, but works with the compiler that builds the rest.
        run(command.env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

/// The names of all targets, ascending.
fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let programs = std::fs::read_dir(workspace.root().join(DIR).join("fuzz_targets"))?;
    let name = |file: std::io::Result<std::fs::DirEntry>| {
        Ok(file?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
    };
    let mut names = programs.map(name).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
