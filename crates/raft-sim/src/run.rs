//! One run, from its seed to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::app::App;
use crate::check::{History, Rule, Violation};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::world::World;

/// All that decides a run. Equal cases do the same, on every machine and in every build.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Case {
    /// Decides what neither of the others does: delays, what a crash keeps, what clients ask.
    pub seed: u64,
    /// The cluster.
    pub settings: Settings,
    /// What goes wrong.
    pub schedule: Schedule,
}

/// What came of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<A: App> {
    /// The rule that did not hold, if one did not.
    pub violation: Option<Violation>,
    /// Hash of everything that happened.
    pub digest: u64,
    /// How many things happened.
    pub events: u64,
    /// How much virtual time passed.
    pub time: Duration,
    /// What clients asked and were told.
    pub history: History<A>,
    /// How many terms had a leader.
    pub terms: usize,
    /// How many entries were committed.
    pub committed: u64,
    /// How many faults there were.
    pub faults: usize,
    /// What was met.
    pub tally: Tally,
}

impl Case {
    /// What a seed draws: cluster, configuration and faults.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let settings = Settings::drawn(seed);
        let schedule = Schedule::drawn(seed, &settings);
        Self { seed, settings, schedule }
    }

    /// Three nodes of which nothing is asked but the usual, and nothing goes wrong: what speed is
    /// measured with. See [`Settings::standard`].
    #[must_use]
    pub fn standard(seed: u64) -> Self {
        Self { seed, settings: Settings::standard(), schedule: Schedule::calm() }
    }

    /// The same three nodes for twenty minutes, with the faults that a seed draws: so many that they
    /// hardly come to rest, and do between them. What cannot be made good happens near the end, or
    /// most of the run would be about a cluster that has lost a node.
    #[must_use]
    pub fn long(seed: u64) -> Self {
        /// About one fault in two or three seconds.
        const RARITY: u32 = 6;
        let settings = Settings::long();
        let mut schedule = Schedule::drawn_at(RARITY, seed, &settings);
        let near_end = settings.chaos * 9 / 10;
        schedule.faults.retain(|planned| planned.at >= near_end || !planned.fault.is_for_good());
        Self { seed, settings, schedule }
    }

    /// Runs it: first with the faults, then without them for a quorum, until that makes progress.
    ///
    /// A panic of a node is a violation of [`Rule::Invariant`]; the panic hook is called as for any
    /// other.
    pub fn run<A: App>(&self, app: &A) -> Report<A> {
        self.run_in(World::new(app.clone(), self.clone(), None)).0
    }

    /// As [`Case::run`], and writes down what happens. That takes much memory.
    pub fn trace<A: App>(&self, app: &A) -> (Report<A>, Trace) {
        let (report, trace) =
            self.run_in(World::new(app.clone(), self.clone(), Some(Trace::default())));
        (report, trace.unwrap_or_default())
    }

    fn run_in<A: App>(&self, mut world: World<A>) -> (Report<A>, Option<Trace>) {
        let chaos = u64::try_from(self.settings.chaos.as_micros()).unwrap_or(u64::MAX);
        let faults = self.schedule.faults.len();
        let done = catch_unwind(AssertUnwindSafe(|| {
            world.run_until(chaos)?;
            world.settle()?;
            world.check_history()
        }));
        let violation = match done {
            Ok(verdict) => verdict.err(),
            Err(panic) => Some(Violation { rule: Rule::Invariant, what: message(&*panic) }),
        };
        let trace = world.end_trace(violation.as_ref());
        let report = Report {
            violation,
            digest: world.digest(),
            events: world.events(),
            time: Duration::from_micros(world.now()),
            terms: world.terms_led(),
            committed: world.committed(),
            faults,
            tally: world.tally().clone(),
            history: world.into_history(),
        };
        (report, trace)
    }
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Planned;

    #[test]
    fn a_long_run_loses_nothing_for_good_until_near_its_end() {
        let near_end = Duration::from_mins(18);
        let all: Vec<_> = (0..20).flat_map(|seed| Case::long(seed).schedule.faults).collect();

        let (late, early): (Vec<Planned>, Vec<Planned>) =
            all.into_iter().partition(|planned| planned.at >= near_end);

        assert!(early.len() > 3_000);
        assert!(early.iter().all(|planned| !planned.fault.is_for_good()));
        assert!(late.iter().any(|planned| planned.fault.is_for_good()));
    }
}
