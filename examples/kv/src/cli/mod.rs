//! The command line.

mod bench;
mod certs;
mod cluster;
mod demo;
mod directory;
mod drill;
mod processes;
mod serve;
mod system;

use std::io::{self, IsTerminal as _};
use std::num::NonZero;
use std::thread;

use anyhow::Context as _;
use clap::{ArgAction, Parser, Subcommand};
use tokio::runtime;
use tracing_subscriber::EnvFilter;

/// A replicated key-value server that speaks the protocol of Redis.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Log more: -v decisions, -vv details, -vvv everything. RUST_LOG, if set, decides instead.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: alone, or as a member of a cluster.
    Serve(serve::Options),
    /// Create a certificate authority for a cluster, and a certificate for each of its nodes.
    Certs(certs::Options),
    /// Start three nodes, kill them while writing, and see whether anything is lost.
    Demo(demo::Options),
    /// Start three nodes, damage their files while writing, and see whether anything is lost.
    Drill(drill::Options),
    /// Measure a running cluster.
    #[command(hide = true)]
    Bench(bench::Options),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.start_logging();
        match self.command {
            Command::Serve(options) => on_some_threads(serve::run(options)),
            Command::Certs(options) => certs::run(&options),
            Command::Demo(options) => on_one_thread(demo::run(options)),
            Command::Drill(options) => on_one_thread(drill::run(options)),
            Command::Bench(options) => on_one_thread(bench::run(options)),
        }
    }

    fn start_logging(&self) {
        let level = match self.verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let is_terminal = io::stderr().is_terminal();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(is_terminal)
            .init();
    }
}

/// Half of the processors answer clients. The node has threads of its own, and a thread that finds
/// all processors busy costs more than it gives.
fn on_some_threads(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(processors.div_ceil(2)).enable_all().build();
    runtime.context("cannot start threads")?.block_on(work)
}

/// Clients share a machine with the servers they drive, and should be light on it.
fn on_one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a thread")?.block_on(work)
}
