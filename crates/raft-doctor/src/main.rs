//! `raft-doctor`: looks into the data directory of a node.
//!
//! What only reads takes no lock and writes nothing, so that it works beside a running node, on a
//! file system that cannot be written to, and on a directory that no node would start on.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a program talks to its user")]

mod cli;
mod dump;
mod inspect;
mod place;
mod recover;
mod repair;
mod say;
mod tail;
mod verify;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use self::cli::Cli;

/// What a command has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finding {
    /// Everything is in order.
    Sound,
    /// Something is damaged; it has been said what.
    Damaged,
}

/// The exit status if something is damaged.
const DAMAGED: u8 = 1;

/// The exit status if the command could not be carried out.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = Cli::parse().run(&mut out);
    let result = result.and_then(|finding| Ok(out.flush().map(|()| finding)?));
    match result {
        Ok(Finding::Sound) => ExitCode::SUCCESS,
        Ok(Finding::Damaged) => ExitCode::from(DAMAGED),
        // Whoever read has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            drop(out);
            eprintln!("error: {}", sentence(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// The error and its causes on one line. Some errors quote their cause; it is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}
