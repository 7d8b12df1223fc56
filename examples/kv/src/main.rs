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
            eprintln!("error: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
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

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("no such file").context("cannot read x: no such file; make it");

        assert_eq!(
            sentence(&error.context("cannot start")),
            "cannot start: cannot read x: no such file; make it"
        );
    }
}
