//! Whatever a crash keeps of what was not synced, and whenever it comes: nothing acknowledged is
//! lost, nothing is taken for corrupt, and nothing appears by halves.

mod common;

use common::{GROUP, Model, Step, Submission, all_entries, open, submission};
use proptest::prelude::*;
use raft_core::HardState;
use raft_wal::sim::SimDisk;
use raft_wal::{Log, OpenError, Recovered};

/// A program, its log, and what it may rely on.
struct World {
    disk: SimDisk,
    log: Option<Log<SimDisk>>,
    /// The log after each submission since the last open; the first is what was found there.
    history: Vec<Model>,
    /// How many of the submissions are acknowledged.
    acknowledged: usize,
}

impl World {
    fn new(disk: SimDisk) -> Self {
        Self { disk, log: None, history: vec![Model::default()], acknowledged: 0 }
    }

    fn now(&self) -> &Model {
        self.history.last().unwrap()
    }

    /// Opens the log and checks what is found.
    fn open(&mut self) -> Result<(), OpenError> {
        self.log = None;
        let (log, recovered) = open(&self.disk)?;
        let found = self.check(&log, &recovered);
        self.history = vec![found];
        self.acknowledged = 0;
        self.log = Some(log);
        Ok(())
    }

    /// What is found is what some call left behind, at or after the last acknowledged one. Term and
    /// vote may be those of a later call.
    fn check(&self, log: &Log<SimDisk>, recovered: &Recovered) -> Model {
        let group = recovered.group(GROUP);
        let entries = all_entries(log);
        let found = Model { hard_state: group.hard_state, base: group.base, entries };
        assert_eq!(found.recovered(), group);
        let candidates = &self.history[self.acknowledged..];
        let is_match = |model: &Model| model.base == found.base && model.entries == found.entries;
        let nth = candidates.iter().rposition(is_match);
        let nth = nth.unwrap_or_else(|| panic!("found {group:?}, expected one of {candidates:#?}"));
        let states: Vec<HardState> = candidates[..].iter().map(|m| m.hard_state).collect();
        let first = candidates.iter().position(is_match).unwrap();
        assert!(states[first..].contains(&found.hard_state), "{found:?} {nth}");
        found
    }

    /// Returns whether the disk still works.
    fn run(&mut self, steps: &[Step]) -> bool {
        steps.iter().all(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> bool {
        let submission = submission(self.now(), step);
        let mut model = self.now().clone();
        let log = self.log.as_mut().unwrap();
        match step {
            Step::Flush => {
                let flushed = log.flush().is_ok();
                if flushed {
                    self.acknowledged = self.history.len() - 1;
                }
                return flushed;
            }
            Step::Idle => return log.mark_idle().is_ok(),
            Step::Close => {
                let closed = self.log.take().unwrap().close().is_ok();
                if closed {
                    self.acknowledged = self.history.len() - 1;
                }
                return closed && self.open().is_ok();
            }
            _ => {}
        }
        let Some(submission) = submission else { return true };
        let accepted = match submission {
            Submission::Batch(batch) => {
                model.apply(&batch);
                log.append(batch).is_ok()
            }
            Submission::Compact(upto) => {
                model.compact(upto);
                log.compact_prefix(GROUP, upto).is_ok()
            }
        };
        if accepted {
            self.history.push(model);
        }
        accepted
    }
}

fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..5, 0usize..3000, 0u64..2)
            .prop_map(|(count, len, term_up)| Step::Append { count, len, term_up }),
        1 => Just(Step::Append { count: 1, len: 25_000, term_up: 0 }),
        1 => Just(Step::Membership),
        2 => (0u64..2).prop_map(|term_up| Step::Vote { term_up }),
        2 => (1u64..8, 0u64..4, 0usize..600)
            .prop_map(|(back, count, len)| Step::Replace { back, count, len }),
        2 => (1u64..9).prop_map(|eighths| Step::Compact { eighths }),
        1 => (0u64..3, 0u64..2).prop_map(|(ahead, term_up)| Step::Install { ahead, term_up }),
        8 => Just(Step::Flush),
        2 => Just(Step::Idle),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..max)
}

/// Runs `steps` until call `crash_at`, and then crashes.
fn crashed(seed: u64, steps: &[Step], crash_at: u64, power: bool) -> World {
    let mut world = World::new(SimDisk::new(seed));
    world.disk.crash_at_call(crash_at);
    if world.open().is_ok() {
        world.run(steps);
    }
    world.log = None;
    if power { world.disk.lose_power() } else { world.disk.kill_process() }
    world
}

fn calls_of(seed: u64, steps: &[Step]) -> u64 {
    let mut world = World::new(SimDisk::new(seed));
    world.open().unwrap();
    assert!(world.run(steps), "nothing fails on a healthy disk");
    world.disk.calls()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_call_loses_nothing_acknowledged(steps in steps(24), seed: u64) {
        let calls = calls_of(seed, &steps);
        for crash_at in 1..=calls {
            let mut world = crashed(seed ^ crash_at << 8, &steps, crash_at, crash_at % 4 != 0);
            world.open().unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_call_of_a_recovery_changes_nothing(steps in steps(20), seed: u64) {
        let calls = calls_of(seed, &steps);
        let crash_at = 1 + seed % calls;
        let world = crashed(seed, &steps, crash_at, true);
        let whole = world.disk.fork(seed);
        let before = whole.calls();
        open(&whole).unwrap();
        for nth in before + 1..=whole.calls() {
            let disk = world.disk.fork(seed.wrapping_add(nth));
            let mut again = World { disk, log: None, ..world_of(&world) };
            again.disk.crash_at_call(nth);
            let opened = again.open();
            again.log = None;
            if nth % 4 == 0 { again.disk.kill_process() } else { again.disk.lose_power() }
            if opened.is_ok() {
                continue;
            }
            again.open().unwrap();
        }
    }

    #[test]
    fn many_lives_of_a_log_never_contradict_each_other(
        lives in prop::collection::vec((steps(12), any::<u16>()), 1..8),
        seed: u64,
    ) {
        let mut world = World::new(SimDisk::new(seed));
        for (steps, crash_in) in &lives {
            world.disk.crash_at_call(world.disk.calls() + 1 + u64::from(crash_in % 200));
            if world.open().is_ok() {
                world.run(steps);
            }
            world.log = None;
            if crash_in % 3 == 0 { world.disk.kill_process() } else { world.disk.lose_power() }
        }
        world.open().unwrap();
    }

    #[test]
    fn an_unlucky_disk_loses_nothing_acknowledged(
        lives in prop::collection::vec(steps(12), 1..6),
        seed: u64,
    ) {
        use raft_wal::sim::{SimFault, SimOp};
        let mut world = World::new(SimDisk::new(seed));
        for steps in &lives {
            world.disk.fail_at_random(SimOp::Sync, 30_000, SimFault::Io);
            world.disk.fail_at_random(SimOp::Write, 30_000, SimFault::Io);
            world.disk.fail_at_random(SimOp::Write, 30_000, SimFault::Short);
            world.disk.fail_at_random(SimOp::Zero, 100_000, SimFault::NoSpace);
            world.disk.fail_at_random(SimOp::SyncDir, 30_000, SimFault::Io);
            world.disk.fail_at_random(SimOp::Unlink, 30_000, SimFault::Io);
            if world.open().is_ok() {
                world.run(steps);
            }
            world.log = None;
            if steps.len() % 2 == 0 { world.disk.kill_process() } else { world.disk.lose_power() }
        }
        world.open().unwrap();
    }
}

fn world_of(world: &World) -> World {
    World {
        disk: world.disk.clone(),
        log: None,
        history: world.history.clone(),
        acknowledged: world.acknowledged,
    }
}
