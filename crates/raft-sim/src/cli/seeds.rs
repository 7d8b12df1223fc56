//! Which seeds are run, and running them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use raft_sim::{Registers, Report};

use super::{Options, app};

/// Seeds from the first on, so many of them or so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) time: Duration,
    /// Every so many seeds one is run twice.
    pub(super) twice: u64,
}

/// What came of a seed.
#[derive(Debug)]
struct Ran {
    seed: u64,
    report: Report<Registers>,
    /// It was run a second time, and did something else.
    differs: bool,
}

/// Seeds of a file: one to a line, what follows `#` left out.
pub(super) fn read(path: Option<&Path>) -> Result<Vec<u64>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().map_err(|_| format!("{}: {line} is no seed", path.display())))
        .collect()
}

/// Runs all seeds up to the first that fails; gives the smallest of those that did.
pub(super) fn run_all(
    options: &Options,
    regressions: &[u64],
    plan: Plan,
    mut each: impl FnMut(&Report<Registers>),
) -> Option<u64> {
    let start = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sender, receiver) = channel();
    let mut failed = BTreeSet::new();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs() {
            let sender = sender.clone();
            let take = || take(&next, regressions, plan, start);
            let stop = &stop;
            scope.spawn(move || work(options, take, stop, &sender));
        }
        drop(sender);
        for Ran { seed, report, differs } in receiver {
            each(&report);
            if let Some(violation) = &report.violation {
                println!("FAILED seed {seed}: {violation}");
            }
            if differs {
                println!("FAILED seed {seed}: determinism: two runs of it differ");
            }
            if differs || report.violation.is_some() {
                failed.insert(seed);
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    failed.pop_first()
}

/// The next seed, and whether it is run twice.
fn take(next: &AtomicU64, regressions: &[u64], plan: Plan, start: Instant) -> Option<(u64, bool)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let known = u64::try_from(regressions.len()).unwrap_or(u64::MAX);
    if let Some(seed) = usize::try_from(number).ok().and_then(|number| regressions.get(number)) {
        return Some((*seed, false));
    }
    let number = number - known;
    let goes_on = number < plan.count && start.elapsed() < plan.time;
    goes_on.then(|| (plan.first.wrapping_add(number), number.is_multiple_of(plan.twice)))
}

fn work(
    options: &Options,
    take: impl Fn() -> Option<(u64, bool)>,
    stop: &AtomicBool,
    sender: &Sender<Ran>,
) {
    while let Some((seed, twice)) = take() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let case = options.case(seed);
        let app = app(&case);
        let report = case.run(&app);
        let differs = twice && case.run(&app).digest != report.digest;
        if sender.send(Ran { seed, report, differs }).is_err() {
            return;
        }
    }
}
