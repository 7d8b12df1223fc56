//! What a contributor and CI run: `cargo xtask --help`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool talks to its user")]

mod bench;
mod ci;
mod docs;
mod examples;
mod explore;
mod fuzz;
mod layers;
mod lint;
mod matrix;
mod miri;
mod mutants;
mod no_std;
mod powerloss;
mod process;
mod sim;
mod spec;
mod step;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use crate::step::Step;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let matches = cli().get_matches();
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The commands: `ci` and `test`, which are several steps, each step alone, and the benchmarks.
fn cli() -> Command {
    let step = |step: &Step| Command::new(step.name).about(step.about);
    Command::new("xtask")
        .bin_name("cargo xtask")
        .about("What a contributor and CI run")
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("ci").about("Everything that CI checks, in its order"))
        .subcommand(Command::new("test").about("All tests: suite, doctest, matrix, no-std"))
        .subcommands(ci::steps().filter(|step| step.name != sim::STEP.name).map(step))
        // What options say of themselves is not what the command does.
        .subcommand(sim::Options::augment_args(step(&sim::STEP)).about(sim::STEP.about))
        .subcommand(step(&powerloss::STEP))
        .subcommand(
            fuzz::Options::augment_args(Command::new("fuzz"))
                .about("Look for bytes that a decoder cannot bear"),
        )
        .subcommand(
            mutants::Options::augment_args(Command::new("mutants"))
                .about("Planted bugs, and how soon the simulator finds each"),
        )
        .subcommand(
            bench::Options::augment_args(Command::new("bench"))
                .about("Measure this machine's clusters, logs and cores, beside others"),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match matches.subcommand() {
        Some(("ci", _)) => step::run_all(&workspace, ci::steps()),
        Some(("test", _)) => step::run_all(&workspace, test::STEPS.iter()),
        Some(("bench", options)) => {
            bench::run(&workspace, bench::Options::from_arg_matches(options)?)
        }
        Some(("sim", options)) => sim::run(&workspace, &sim::Options::from_arg_matches(options)?),
        Some(("fuzz", options)) => {
            fuzz::run_all(&workspace, &fuzz::Options::from_arg_matches(options)?)
        }
        Some(("mutants", options)) => {
            mutants::run(&workspace, &mutants::Options::from_arg_matches(options)?)
        }
        Some(("powerloss", _)) => step::run_all(&workspace, [powerloss::STEP].iter()),
        Some((name, _)) => step::run_all(&workspace, ci::steps().filter(|step| step.name == name)),
        // Clap asks for a subcommand.
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        cli().debug_assert();
    }

    #[test]
    fn every_step_is_a_command_of_its_own() {
        for step in ci::steps() {
            let matches = cli().get_matches_from(["xtask", step.name]);

            assert_eq!(matches.subcommand_name(), Some(step.name));
            let cli = cli();
            let about = cli.find_subcommand(step.name).and_then(Command::get_about);
            assert_eq!(about.map(ToString::to_string).as_deref(), Some(step.about));
        }
    }
}
