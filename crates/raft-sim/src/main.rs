//! The program behind `cargo xtask sim`: runs seeds, and says what came of them.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool talks to its user")]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

// A run is made of many small allocations. No digest depends on where they are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What breaks a rule is reported with its seed; so the usual message is of no use.
    std::panic::set_hook(Box::new(|_| {}));
    match cli::run(&cli::Options::parse()) {
        cli::Verdict::Passed => ExitCode::SUCCESS,
        cli::Verdict::Failed => ExitCode::FAILURE,
    }
}
