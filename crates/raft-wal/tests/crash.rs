//! Whatever a crash keeps of what was not synced, and whenever it comes: nothing acknowledged is
//! lost, nothing is taken for corrupt, and nothing appears by halves.

use proptest::prelude::*;
use raft_wal::sim::{SimDisk, SimFault, SimOp};

use crate::common::world::{World, steps};
use crate::common::{Step, open};

/// So many cases, unless the environment asks for more.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases / 8, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(cases())]

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
            let mut again = world.on(disk);
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
        let mut world = World::new(SimDisk::new(seed));
        world.runs_out_of_space = true;
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

/// Runs `steps` until call `crash_at`, and then crashes.
fn crashed(seed: u64, steps: &[Step], crash_at: u64, power: bool) -> World {
    let mut world = World::new(SimDisk::new(seed));
    world.disk.crash_at_call(crash_at);
    if world.open().is_ok() {
        world.run(steps);
    }
    world.log = None;
    if power {
        world.disk.lose_power()
    } else {
        world.disk.kill_process()
    }
    world
}

fn calls_of(seed: u64, steps: &[Step]) -> u64 {
    let mut world = World::new(SimDisk::new(seed));
    world.open().unwrap();
    assert!(world.run(steps), "nothing fails on a healthy disk");
    world.disk.calls()
}
