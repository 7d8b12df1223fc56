//! `raft-explore`: visits every state of small clusters.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{anyhow, ensure};
use clap::Parser;
use raft_explore::{Known, Outcome, Report, Scenario, explore, known};

/// Visits every state of small clusters of the real raft-core, and checks the rules in each.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Only the scenario with this name.
    #[arg(long)]
    scenario: Option<String>,
    /// The long ones, too.
    #[arg(long)]
    long: bool,
    /// Bounds other than the checked in ones: servers,founders,impatient,term,proposals,crashes,
    /// duplicates,in-flight.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "N,N,N,N,N,N,N,N")]
    bounds: Option<Vec<u8>>,
    /// Visit at most this many states of each scenario.
    #[arg(long, default_value_t = usize::MAX, value_name = "N")]
    states: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // A broken invariant is what is looked for: it is told with the way there.
    std::panic::set_hook(Box::new(|_| {}));
    let chosen = options.choose()?;
    println!(
        "{:<18} {:>12} {:>13} {:>6} {:>8} {:>8}",
        "scenario", "states", "steps", "depth", "servers", "seconds"
    );
    let states = run_all(chosen, options.states)?;
    println!("{states} distinct states");
    Ok(())
}

impl Options {
    fn choose(&self) -> anyhow::Result<Vec<Known>> {
        let wanted = |known: &Known| match &self.scenario {
            Some(name) => known.scenario.name == name,
            None => self.long || !known.is_long,
        };
        let mut chosen: Vec<_> = known().into_iter().filter(wanted).collect();
        ensure!(!chosen.is_empty(), "there is no such scenario; there are {}", names());
        if let Some(bounds) = &self.bounds {
            for known in &mut chosen {
                known.states = None;
                known.scenario = with_bounds(known.scenario.clone(), bounds)?;
            }
        }
        Ok(chosen)
    }
}

fn with_bounds(scenario: Scenario, bounds: &[u8]) -> anyhow::Result<Scenario> {
    let &[servers, founders, impatient, term_max, proposals, crashes, duplicates, in_flight_max] =
        bounds
    else {
        return Err(anyhow!("--bounds takes eight numbers"));
    };
    Ok(Scenario {
        servers: servers.max(1).into(),
        founders: founders.max(1).into(),
        impatient: impatient.into(),
        term_max: term_max.into(),
        proposals,
        crashes,
        duplicates,
        in_flight_max: in_flight_max.into(),
        ..scenario
    })
}

fn names() -> String {
    known().iter().map(|known| known.scenario.name).collect::<Vec<_>>().join(", ")
}

/// Runs as many scenarios at a time as there are processors; how many states they have together.
fn run_all(chosen: Vec<Known>, states_max: usize) -> anyhow::Result<usize> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(chosen.len());
    let queue = Mutex::new(chosen.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut states = 0;
        while let Some(known) = next() {
            states += run(&known, states_max)?;
        }
        anyhow::Ok(states)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results.map(|result| result.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))).sum()
    })
}

fn run(known: &Known, states_max: usize) -> anyhow::Result<usize> {
    let name = known.scenario.name;
    let report = explore(&known.scenario, states_max, |seen, waiting| {
        eprintln!("{name}: {seen} states, {waiting} of them to be looked at");
    });
    let Report { outcome, states, steps, depth, server_states, elapsed, .. } = report;
    let seconds = elapsed.as_secs_f64();
    println!("{name:<18} {states:>12} {steps:>13} {depth:>6} {server_states:>8} {seconds:>8.1}");
    match outcome {
        Outcome::Violated { violation, trace } => {
            println!("{name}:\n{}", trace.join("\n"));
            Err(anyhow!("{name}: {violation}, after {} steps", trace.len()))
        }
        Outcome::Bounded => {
            println!("{name}: there are more states; this was no proof");
            Ok(states)
        }
        Outcome::Exhausted => {
            let expected = known.states.unwrap_or(states);
            ensure!(
                states == expected,
                "{name} has {states} states, not {expected}: the protocol behaves differently; \
                 if that was meant, say so in scenarios.rs"
            );
            Ok(states)
        }
    }
}
