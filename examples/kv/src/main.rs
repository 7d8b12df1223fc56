//! `raft-kv`: a replicated key-value server, and what helps to run and to try it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

use self::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
