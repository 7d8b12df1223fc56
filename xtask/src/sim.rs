//! `cargo xtask sim`: whole clusters under random faults, from seeds.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::process::{cargo, output, run as run_command};
use crate::step::{Check, Step};
use crate::workspace::Workspace;

pub(crate) const STEP: Step = Step {
    name: "sim",
    about: "Clusters under random faults break no rule; see `cargo xtask sim --help`",
    run: |check: &mut Check<'_>| run_for_change(check.workspace),
};

/// What stands in the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// How many seeds to run.
    #[arg(long, conflicts_with = "seconds")]
    seeds: Option<u64>,
    /// How long to run seeds [default: 120].
    #[arg(long)]
    seconds: Option<u64>,
    /// The first seed. Alone, only that one is run [default: drawn].
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run at a time [default: one for each processor].
    #[arg(long)]
    jobs: Option<usize>,
    /// Three nodes, the usual configuration and no faults: for measuring speed.
    #[arg(long, conflicts_with = "long")]
    standard: bool,
    /// Three nodes and the usual configuration for twenty minutes of their time, with faults.
    #[arg(long)]
    long: bool,
    /// How many runs to spend on making a failure smaller.
    #[arg(long)]
    shrink_runs: Option<u64>,
}

/// What a change is judged by: the same seeds for everybody. First all that a seed can draw, then
/// many hours of the usual configuration.
const DRAWN: [&str; 6] = ["--seed", "2000", "--seeds", "1600", "--regressions", REGRESSIONS];
const LONG: [&str; 6] = ["--long", "--seed", "1", "--seeds", "1140", "--no-selftest"];

fn run_for_change(workspace: &Workspace) -> anyhow::Result<()> {
    let program = build(workspace, PROFILE)?;
    builds_agree(workspace, &program)?;
    [DRAWN, LONG].into_iter().try_for_each(|arguments| {
        let mut command = std::process::Command::new(&program);
        run_command(command.current_dir(workspace.root()).args(arguments))
    })
}

/// Seeds that failed once.
const REGRESSIONS: &str = "crates/raft-sim/regressions.txt";

/// How long to run without being told.
const SECONDS: u64 = 120;

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let is_default = options.seeds.or(options.seconds).or(options.seed).is_none();
    let program = build(workspace, PROFILE)?;
    if is_default {
        builds_agree(workspace, &program)?;
    }
    let mut command = std::process::Command::new(&program);
    command.current_dir(workspace.root());
    let numbers = [
        ("--seeds", options.seeds),
        ("--seconds", options.seconds.or_else(|| is_default.then_some(SECONDS))),
        ("--seed", options.seed),
        ("--jobs", options.jobs.map(u64::try_from).transpose()?),
        ("--shrink-runs", options.shrink_runs),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            command.args([name, &number.to_string()]);
        }
    }
    let flags = [("--standard", options.standard), ("--long", options.long)];
    command.args(flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name));
    let is_usual = !options.standard && !options.long;
    if is_usual && (options.seed.is_none() || options.seeds.is_some()) {
        command.args(["--regressions", REGRESSIONS]);
    }
    run_command(&mut command)
}

/// The same seeds do the same in a build with all checks and in one for speed.
fn builds_agree(workspace: &Workspace, release: &std::path::Path) -> anyhow::Result<()> {
    let debug = build(workspace, "dev")?;
    let digests = |program: &std::path::Path| {
        let mut command = std::process::Command::new(program);
        output(command.args(["--digests", "--seed", "1", "--seeds", "4"]))
    };
    let [in_debug, in_release] = [digests(&debug)?, digests(release)?];
    ensure!(
        in_debug == in_release,
        "a seed does not do the same in every build:\n{in_debug}\n{in_release}"
    );
    println!("four seeds do the same in a debug and in a release build");
    Ok(())
}

/// The build that runs most seeds.
const PROFILE: &str = "sim";

fn build(workspace: &Workspace, profile: &str) -> anyhow::Result<PathBuf> {
    let arguments = format!("build --package raft-sim --features cli --profile {profile}");
    run_command(&mut cargo(workspace, &arguments)).context("the simulator does not build")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let program = format!("raft-sim{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target().join(folder).join(program))
}
