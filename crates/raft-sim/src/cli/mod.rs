//! Running many seeds on all processors.

mod report;
mod seeds;
mod selftest;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use raft_sim::{Case, Registers, Report};

use self::report::Totals;

/// Runs clusters under random faults, and checks that nothing breaks a rule.
#[derive(Debug, clap::Parser)]
#[command(name = "raft-sim", version)]
pub(crate) struct Options {
    /// How many seeds to run.
    #[arg(long, conflicts_with = "seconds")]
    seeds: Option<u64>,
    /// How long to run seeds, one after the other.
    #[arg(long)]
    seconds: Option<u64>,
    /// The first seed. Alone, only that one is run [default: drawn].
    #[arg(long)]
    seed: Option<u64>,
    /// A file with seeds that are run first, one to a line.
    #[arg(long)]
    regressions: Option<PathBuf>,
    /// How many seeds to run at a time [default: one for each processor].
    #[arg(long)]
    jobs: Option<usize>,
    /// Run three nodes with the usual configuration and no faults: for measuring speed.
    #[arg(long, conflicts_with = "long")]
    standard: bool,
    /// Run three nodes with the usual configuration for twenty minutes of their time.
    #[arg(long)]
    long: bool,
    /// Print the hash of each seed's run, and nothing else.
    #[arg(long)]
    digests: bool,
    /// Leave out the tests of the simulator itself.
    #[arg(long)]
    no_selftest: bool,
    /// How many runs to spend on making a failure smaller.
    #[arg(long, default_value_t = 300)]
    shrink_runs: usize,
    /// Where to write what is known about a failure [default: target/sim].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What a seed stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Drawn,
    Standard,
    Long,
}

impl Kind {
    /// What chooses it in the command line.
    const fn flag(self) -> &'static str {
        match self {
            Self::Drawn => "",
            Self::Standard => "--standard ",
            Self::Long => "--long ",
        }
    }
}

/// What the program says in its exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

impl Options {
    fn kind(&self) -> Kind {
        match (self.standard, self.long) {
            (true, _) => Kind::Standard,
            (false, true) => Kind::Long,
            (false, false) => Kind::Drawn,
        }
    }

    fn case(&self, seed: u64) -> Case {
        match self.kind() {
            Kind::Drawn => Case::drawn(seed),
            Kind::Standard => Case::standard(seed),
            Kind::Long => Case::long(seed),
        }
    }

    /// What is run: seeds from the first on, so many of them or so long.
    fn plan(&self) -> seeds::Plan {
        let first = self.seed.unwrap_or_else(drawn_seed);
        let (count, time) = match (self.seeds, self.seconds, self.seed) {
            (Some(count), ..) => (count, Duration::MAX),
            (None, Some(seconds), _) => (u64::MAX, Duration::from_secs(seconds)),
            (None, None, Some(_)) => (1, Duration::MAX),
            (None, None, None) => (200, Duration::MAX),
        };
        let twice = match self.kind() {
            Kind::Drawn | Kind::Standard => 16,
            Kind::Long => 64,
        };
        seeds::Plan { first, count, time, twice }
    }

    fn jobs(&self) -> usize {
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.jobs.unwrap_or(all).max(1)
    }
}

/// A seed that differs from start to start; small, so that it is easily typed.
fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() >> 24
}

/// The app that a case asks for.
fn app(case: &Case) -> Registers {
    let clients = case.settings.clients;
    Registers { count: clients.registers, padding: clients.padding }
}

pub(crate) fn run(options: &Options) -> Verdict {
    if options.digests {
        return print_digests(options);
    }
    if !options.no_selftest && selftest::run() == Verdict::Failed {
        return Verdict::Failed;
    }
    let regressions = match seeds::read(options.regressions.as_deref()) {
        Ok(seeds) => seeds,
        Err(error) => {
            println!("error: {error}");
            return Verdict::Failed;
        }
    };
    let plan = options.plan();
    println!("{} regression seeds, then seeds from {} on", regressions.len(), plan.first);
    let start = Instant::now();
    let mut totals = Totals::default();
    let mut shown = start;
    let failed = seeds::run_all(options, &regressions, plan, |report| {
        totals.add(report);
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            println!("{}", totals.progress(start.elapsed()));
        }
    });
    totals.print(start.elapsed(), options.kind());
    match failed {
        None => Verdict::Passed,
        Some(seed) => {
            report::explain(options, seed);
            Verdict::Failed
        }
    }
}

fn print_digests(options: &Options) -> Verdict {
    let plan = options.plan();
    for seed in plan.first..plan.first.saturating_add(plan.count) {
        let case = options.case(seed);
        let report: Report<Registers> = case.run(&app(&case));
        println!("{seed} {:016x}", report.digest);
    }
    Verdict::Passed
}
