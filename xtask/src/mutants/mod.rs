//! `cargo xtask mutants`: planted bugs, one at a time, and how long the simulator takes to find
//! each. It tests the tests: a bug that nothing finds shows what is not tested.

mod core;
mod direct;
mod doubt;
mod driver;
mod scratch;
mod wal;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use self::scratch::Scratch;
use crate::process::status_within;
use crate::workspace::Workspace;

/// A bug: in `file`, `old` becomes `new`.
#[derive(Clone, Copy, Debug)]
struct Mutant {
    name: &'static str,
    /// What it breaks.
    rule: &'static str,
    /// From the workspace's root.
    file: &'static str,
    /// Occurs there exactly once.
    old: &'static str,
    new: &'static str,
    killer: Killer,
}

/// What finds a bug.
#[derive(Clone, Copy, Debug)]
enum Killer {
    Simulator,
    /// What the simulator cannot see, or hardly ever: the tests of this package, or those whose
    /// name contains what follows `::`.
    Tests(&'static str),
}

/// How long the tests of a package may take, many times what they do without a bug.
const TESTS_LIMIT: Duration = Duration::from_secs(300);

/// What stands in the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only those whose name or file contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Seconds that the simulator has for each.
    #[arg(long, default_value_t = 60)]
    budget: u64,
    /// Name them, and do nothing.
    #[arg(long)]
    list: bool,
    /// Also run those that only tests find.
    #[arg(long)]
    tests: bool,
}

/// What became of a bug.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Fate {
    /// Found with so many seeds, in so long.
    Killed {
        seeds: u64,
        time: Duration,
        by: String,
    },
    Survived {
        seeds: u64,
    },
    NotRun,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let chosen = all().filter(|m| m.name.contains(filter) || m.file.contains(filter));
    let chosen: Vec<_> = chosen.collect();
    ensure!(!chosen.is_empty(), "no planted bug is called {filter}");
    if options.list {
        chosen.iter().for_each(|m| println!("{:<40} {} ({})", m.name, m.rule, m.file));
        return Ok(());
    }
    let scratch = Scratch::make(workspace)?;
    let mut fates = Vec::new();
    for mutant in &chosen {
        let fate = try_one(&scratch, mutant, options)?;
        println!("{:<40} {}", mutant.name, shown(&fate));
        fates.push((mutant, fate));
    }
    summarize(&fates)
}

/// All of them.
fn all() -> impl Iterator<Item = &'static Mutant> {
    let lists = [core::MUTANTS, direct::MUTANTS, doubt::MUTANTS, driver::MUTANTS, wal::MUTANTS];
    lists.into_iter().flatten()
}

fn try_one(scratch: &Scratch, mutant: &Mutant, options: &Options) -> anyhow::Result<Fate> {
    match mutant.killer {
        Killer::Tests(_) if !options.tests => return Ok(Fate::NotRun),
        Killer::Tests(_) | Killer::Simulator => {}
    }
    let planted = scratch.plant(mutant)?;
    let fate = match mutant.killer {
        Killer::Simulator => simulate(scratch, options.budget),
        Killer::Tests(which) => test(scratch, which),
    };
    planted.remove()?;
    fate.with_context(|| format!("{} cannot be tried", mutant.name))
}

fn simulate(scratch: &Scratch, budget: u64) -> anyhow::Result<Fate> {
    let program = scratch.build_simulator()?;
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(["--seed", "1", "--seconds", &budget.to_string(), "--shrink-runs", "0"]);
    command.args(["--no-selftest", "--out"]).arg(scratch.dir().join("found"));
    let report = scratch.dir().join("report.txt");
    command.stdout(File::create(&report)?).stderr(Stdio::null());
    // A bug may be that something never ends.
    let limit = Duration::from_secs(4 * budget + 60);
    let ended = status_within(&mut command, limit)?;
    let time = start.elapsed();
    let text = std::fs::read_to_string(&report)?;
    if ended.is_none() {
        return Ok(Fate::Killed { seeds: 0, time, by: "it does not end".to_owned() });
    }
    let seeds = seeds_of(&text).context("the simulator has not said how many seeds it ran")?;
    let found = text.lines().find_map(|line| line.strip_prefix("FAILED seed "));
    Ok(match found.and_then(|line| line.split(": ").nth(1)) {
        Some(rule) => Fate::Killed { seeds, time, by: rule.to_owned() },
        None => Fate::Survived { seeds },
    })
}

/// What the simulator says of how many seeds it has run.
fn seeds_of(output: &str) -> Option<u64> {
    let stat = output.lines().find_map(|line| line.strip_prefix("SIMSTAT "))?;
    serde_json::from_str::<serde_json::Value>(stat).ok()?.get("seeds")?.as_u64()
}

fn test(scratch: &Scratch, which: &str) -> anyhow::Result<Fate> {
    let (package, name) = which.split_once("::").unwrap_or((which, ""));
    // A bug that is no program does not count as one that tests find.
    let programs = scratch.build_tests(package)?;
    let start = Instant::now();
    let killed = |by| Fate::Killed { seeds: 0, time: start.elapsed(), by };
    for program in &programs {
        let mut command = program.command(name);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match status_within(&mut command, TESTS_LIMIT)? {
            Some(status) if status.success() => {}
            Some(_) => return Ok(killed(format!("tests of {package}"))),
            None => return Ok(killed(format!("tests of {package}, which do not end"))),
        }
    }
    Ok(Fate::Survived { seeds: 0 })
}

fn shown(fate: &Fate) -> String {
    match fate {
        Fate::Killed { seeds, time, by } => {
            format!("killed   {seeds:>6} seeds {:>7.1} s  {by}", time.as_secs_f64())
        }
        Fate::Survived { seeds } => format!("SURVIVED {seeds:>6} seeds"),
        Fate::NotRun => "not run: only tests find it".to_owned(),
    }
}

fn summarize(fates: &[(&&Mutant, Fate)]) -> anyhow::Result<()> {
    let mut seeds = Vec::new();
    let mut survivors = Vec::new();
    let mut found = 0;
    for (mutant, fate) in fates {
        match fate {
            Fate::Killed { seeds: count, .. } => {
                found += 1;
                // Those that tests find take none.
                seeds.extend(Some(*count).filter(|count| *count > 0));
            }
            Fate::Survived { .. } => survivors.push(mutant.name),
            Fate::NotRun => {}
        }
    }
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).copied().unwrap_or_default();
    let tried = found + survivors.len();
    println!("\n{found} of {tried} were found, half of them within {median} seeds");
    ensure!(survivors.is_empty(), "not found: {}", survivors.join(", "));
    Ok(())
}

/// Where the copy is that bugs are planted in.
fn scratch_dir(workspace: &Workspace) -> PathBuf {
    workspace.target().join("mutants")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// So the list cannot rot: what moves in the code moves here.
    #[test]
    fn every_planted_bug_has_its_place() {
        let workspace = Workspace::load().expect("cargo knows the workspace");
        for Mutant { name, file, old, new, .. } in all() {
            let text = std::fs::read_to_string(workspace.root().join(file));
            let text = text.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));

            assert_eq!(text.matches(old).count(), 1, "{name}: in {file}:\n{old}");
            assert_ne!(old, new, "{name}");
        }
    }

    #[test]
    fn every_planted_bug_has_a_name_of_its_own() {
        let names: BTreeSet<_> = all().map(|mutant| mutant.name).collect();

        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn the_simulator_says_how_many_seeds_it_ran() {
        let output = "FAILED seed 7: progress: nothing\nSIMSTAT {\"seeds\":12,\"calls\":3}\n";

        assert_eq!(seeds_of(output), Some(12));
    }
}
