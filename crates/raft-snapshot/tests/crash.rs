//! Whenever the power fails, and whatever it takes with it: the old snapshot is there, or the new
//! one, whole.

use proptest::prelude::*;
use raft_core::LogId;
use raft_snapshot::WriteError;
use raft_wal::sim::{SimDisk, SimFault, SimOp};

use crate::common::{CHUNK, copy, log_id, open, partial, read, state, write};

/// Bytes of the snapshot up to `index`: some chunks, none of them alike.
fn state_of(index: u64) -> Vec<u8> {
    state(4 * CHUNK as usize + 100, index)
}

/// What is done while the power fails: writing, receiving, and making room, from a snapshot up to
/// `from` to one up to `to`.
type Work = fn(&SimDisk, u64) -> Result<(), WriteError>;

fn writing(disk: &SimDisk, to: u64) -> Result<(), WriteError> {
    let Ok((store, _)) = open(disk) else { return Err(WriteError::InDoubt) };
    write(&store, to, &state_of(to)).map(drop)
}

fn receiving(disk: &SimDisk, to: u64) -> Result<(), WriteError> {
    let (source, _) = open(&SimDisk::new(99)).unwrap();
    let original = write(&source, to, &state_of(to)).unwrap();
    let Ok((store, _)) = open(disk) else { return Err(WriteError::InDoubt) };
    copy(&original, &store).map(drop)
}

/// A disk with two snapshots, so that a third removes the first.
fn with_two(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    writing(&disk, 11).unwrap();
    writing(&disk, 12).unwrap();
    disk
}

/// Opens the disk after a crash, and checks that every snapshot is whole.
fn check(disk: &SimDisk) -> Vec<LogId> {
    let (store, opened) = open(disk).unwrap();
    assert!(opened.damaged.is_empty(), "{:?}", opened.damaged);
    for snapshot in store.list() {
        assert_eq!(read(&snapshot), state_of(snapshot.id().last.index.get()));
    }
    let names = disk.file_names();
    let parts = if opened.partial.is_some() { 2 } else { 0 };
    assert_eq!(names.len(), 2 * store.list().len() + parts, "nothing else is left: {names:?}");
    store.list().iter().map(|snapshot| snapshot.id().last).collect()
}

fn crash_everywhere(seed: u64, work: Work) {
    let whole = with_two(seed);
    let before = whole.calls();
    let trial = whole.fork(seed);
    work(&trial, 13).unwrap();
    for crash_at in before + 1..=trial.calls() {
        let disk = whole.fork(seed ^ crash_at);
        disk.crash_at_call(crash_at);
        let done = work(&disk, 13);
        if crash_at % 4 == 0 {
            disk.kill_process()
        } else {
            disk.lose_power()
        }

        let found = check(&disk);

        let newest = *found.last().unwrap();
        assert!(newest == log_id(12) || newest == log_id(13), "{found:?}");
        if done.is_ok() {
            assert_eq!(newest, log_id(13), "it was acknowledged");
        }
        // And then it works.
        work(&disk, 13).unwrap();
        assert_eq!(check(&disk), [log_id(12), log_id(13)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_while_writing_leaves_the_old_or_the_new(seed: u64) {
        crash_everywhere(seed, writing);
    }

    #[test]
    fn a_crash_while_receiving_leaves_the_old_or_the_new(seed: u64) {
        crash_everywhere(seed, receiving);
    }

    /// A crash, and another one while that is swept.
    #[test]
    fn a_crash_while_opening_changes_nothing(seed: u64, first in 0u64..60) {
        let whole = with_two(seed);
        whole.crash_at_call(whole.calls() + 1 + first);
        drop(receiving(&whole, 13));
        whole.lose_power();
        let before = whole.calls();
        let trial = whole.fork(seed);
        let expected = check(&trial);
        for crash_at in before + 1..=trial.calls() {
            let disk = whole.fork(seed ^ crash_at);
            disk.crash_at_call(crash_at);
            drop(open(&disk));
            disk.lose_power();
            prop_assert_eq!(&check(&disk), &expected);
        }
    }

    /// What was received before the crash need not be received again, as far as it was synced.
    #[test]
    fn a_part_that_survives_a_crash_is_verified(seed: u64, count in 0u32..5) {
        let (source, _) = open(&SimDisk::new(99)).unwrap();
        let original = write(&source, 13, &state_of(13)).unwrap();
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk).unwrap();
        let mut begun = partial(store.receive(original.manifest().clone()).unwrap());
        for number in 0..count {
            let bytes = original.chunk(number).unwrap();
            begun.write(&original.manifest().verify(number, bytes).unwrap()).unwrap();
        }
        drop((begun, store));
        disk.lose_power();

        let (store, _) = open(&disk).unwrap();
        prop_assert_eq!(read(&copy(&original, &store).unwrap()), state_of(13));
    }

    /// One call fails, once.
    #[test]
    fn a_failing_call_leaves_the_old_or_the_new(seed: u64, is_full: bool, receives: bool) {
        let work: Work = if receives { receiving } else { writing };
        let fault = if is_full { SimFault::NoSpace } else { SimFault::Io };
        let whole = with_two(seed);
        let before = whole.calls();
        let trial = whole.fork(seed);
        work(&trial, 13).unwrap();
        for failing in before + 1..=trial.calls() {
            let disk = whole.fork(seed ^ failing);
            disk.fail_call(failing, fault);
            let done = work(&disk, 13);
            if failing % 2 == 0 { disk.lose_power() } else { disk.kill_process() }
            let found = check(&disk);
            if done.is_ok() {
                prop_assert_eq!(found.last(), Some(&log_id(13)));
            }
            work(&disk, 13).unwrap();
        }
    }
}

/// The system may keep in its cache what a failed sync has not brought to the medium.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_not_taken_for_received() {
    for seed in 0..50 {
        let (source, _) = open(&SimDisk::new(99)).unwrap();
        let original = write(&source, 13, &state_of(13)).unwrap();
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk).unwrap();
        // The first sync is that of the manifest.
        disk.fail(SimOp::Sync, 1, SimFault::Io);
        copy(&original, &store).unwrap_err();

        copy(&original, &store).unwrap();
        drop(store);
        disk.lose_power();

        assert_eq!(check(&disk), [log_id(13)]);
    }
}

#[test]
fn a_directory_in_doubt_takes_no_more() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    // The first makes the names of the files durable, the second publishes.
    disk.fail(SimOp::SyncDir, 1, SimFault::Io);
    write(&store, 5, b"in doubt").unwrap_err();

    assert!(matches!(write(&store, 6, b"late"), Err(WriteError::InDoubt)));
    assert!(store.latest().is_none());
}

#[test]
fn a_full_disk_is_no_doubt() {
    let disk = with_two(1);
    let (store, _) = open(&disk).unwrap();
    disk.set_capacity(disk.bytes_used() + 1000);
    let full = write(&store, 13, &state_of(13)).unwrap_err();
    assert!(matches!(full, WriteError::Disk(error) if error.is_no_space()));

    disk.set_capacity(u64::MAX);

    write(&store, 13, &state_of(13)).unwrap();
}
