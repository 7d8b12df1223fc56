//! The command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::place::Place;
use crate::{Finding, dump, inspect, recover, repair, tail, verify};

/// Looks into the data directory of a Raft node, checks it, and gets a cluster back that has lost
/// its majority.
///
/// `inspect`, `verify`, `dump` and `tail` only read: they work beside a running node. The exit status
/// is 1 if something is damaged, and 2 if the command could not be carried out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where the node keeps its snapshots [default: `snapshots` in the data directory].
    #[arg(long, global = true, value_name = "DIR")]
    snapshots: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whose data this is, and what it holds: log, term and vote, members, snapshots.
    Inspect {
        /// The node's data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
    },
    /// Read and check every byte of log and snapshots, and name what is damaged.
    Verify {
        /// The node's data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
    },
    /// Write every record of the log, in the order in which they were written.
    Dump {
        /// The node's data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Write the newest entries of the log.
    Tail {
        /// The node's data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// How many.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
        count: u64,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Do what a node does when it starts: cut off an interrupted write, build damaged indexes again,
    /// remove what was left over.
    Repair {
        /// The node's data directory. No node may be running in it.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a new cluster of what one node has, after the majority of the old one is lost for good.
    ///
    /// Without --confirm it only says what would be done, and what may be lost.
    RecoverQuorum(recover::Options),
}

impl Cli {
    pub(crate) fn run(self, out: &mut dyn Write) -> anyhow::Result<Finding> {
        let place = |data| Place::new(data, self.snapshots);
        match self.command {
            Command::Inspect { data } => inspect::run(&place(data), out),
            Command::Verify { data } => verify::run(&place(data), out),
            Command::Dump { data, json } => dump::run(&place(data), json, out),
            Command::Tail { data, count, json } => tail::run(&place(data), count, json, out),
            Command::Repair { data, dry_run } => repair::run(&place(data), dry_run, out),
            Command::RecoverQuorum(options) => {
                let place = place(options.data.clone());
                recover::run(&place, &options, out)
            }
        }
    }
}
