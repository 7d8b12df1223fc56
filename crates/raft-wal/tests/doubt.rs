//! A log whose newest write may have been acknowledged and be lost: it says so, at every open, until
//! its server knows better.

use raft_core::GroupId;
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Log, Reader, Recovered, Tail};

use crate::common::{GROUP, batch, command, id, identity, index, membership, open, options, vote};

fn second() -> GroupId {
    GroupId::new(2).unwrap()
}

/// A log with two groups whose newest batch, with entry 4 of the first, has a flipped bit in its
/// payload.
fn doubtful() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(1, 2)).unwrap();
    log.append(batch([membership(1, 1), command(2, 1, 40), command(3, 1, 40)])).unwrap();
    log.append(Batch { group: second(), ..batch([command(1, 1, 9)]) }).unwrap();
    log.flush().unwrap();
    log.append(batch([command(4, 1, 900)])).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.kill_process();
    let payload = command(4, 1, 900).payload.to_bytes();
    let name = "00000000000000000001.seg";
    let bytes = disk.file_bytes(name).unwrap();
    let at = bytes.windows(payload.len()).position(|window| *window == payload).unwrap();
    assert!(disk.flip_bit(name, at as u64 + 700, 3));
    disk
}

fn settle(group: GroupId) -> Batch {
    Batch { settles_doubt: true, ..Batch::new(group) }
}

fn in_doubt(recovered: &Recovered) -> [bool; 2] {
    [GROUP, second()].map(|group| recovered.group(group).is_in_doubt)
}

#[test]
fn every_group_is_in_doubt_at_every_open_until_that_is_settled() {
    let disk = doubtful();
    let (log, recovered) = open(&disk).unwrap();
    assert!(recovered.tail.is_doubtful(), "{recovered:?}");
    assert_eq!(recovered.group(GROUP).last, id(3, 1));
    assert_eq!(in_doubt(&recovered), [true, true]);
    log.close().unwrap();

    // Entries, truncations, compactions and many segments settle nothing.
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.tail, in_doubt(&recovered)), (Tail::Clean, [true, true]));
    for n in 4..200 {
        log.append(batch([command(n, 1, 2000)])).unwrap();
        log.flush().unwrap();
    }
    let truncate_from = Some(index(190));
    log.append(Batch { truncate_from, ..batch([command(190, 2, 5)]) }).unwrap();
    log.compact_prefix(GROUP, id(150, 1)).unwrap();
    log.close().unwrap();
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(in_doubt(&recovered), [true, true]);

    log.append(settle(GROUP)).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.lose_power();

    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(in_doubt(&recovered), [false, true], "each group for itself");
    assert_eq!(recovered.group(GROUP).last, id(190, 2));
    drop(log);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(in_doubt(&recovered), [false, true]);
}

#[test]
fn a_truncation_of_what_was_deleted_since_settles_nothing() {
    let disk = doubtful();
    let (mut log, _) = open(&disk).unwrap();
    let truncate_from = Some(index(2));
    log.append(Batch { truncate_from, ..batch([command(2, 2, 9), command(3, 2, 9)]) }).unwrap();
    log.append(Batch { group: second(), truncate_from: Some(index(1)), ..Batch::new(second()) })
        .unwrap();
    log.flush().unwrap();
    log.compact_prefix(GROUP, id(2, 2)).unwrap();
    log.close().unwrap();
    assert!(!disk.file_names().contains(&"00000000000000000001.seg".to_owned()));

    let (_, recovered) = open(&disk).unwrap();

    assert_eq!((recovered.group(GROUP).last, in_doubt(&recovered)), (id(3, 2), [true, true]));
}

#[test]
fn a_snapshot_beyond_the_log_settles_nothing() {
    let disk = doubtful();
    let (mut log, _) = open(&disk).unwrap();
    log.compact_prefix(GROUP, id(50, 1)).unwrap();
    log.close().unwrap();

    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(in_doubt(&recovered), [true, true]);
    log.append(settle(GROUP)).unwrap();
    log.close().unwrap();

    assert_eq!(in_doubt(&open(&disk).unwrap().1), [false, true]);
}

#[test]
fn who_only_reads_is_told_as_well() {
    let disk = doubtful();
    let read = || Reader::open_on(&disk, identity(), &options()).unwrap().1;
    assert_eq!(in_doubt(&read()), [true, true]);

    open(&disk).unwrap().0.close().unwrap();

    assert_eq!(in_doubt(&read()), [true, true]);
}

#[test]
fn a_log_that_ends_clean_or_torn_or_with_nothing_behind_is_not_in_doubt() {
    let clean = SimDisk::new(1);
    let (mut log, _) = open(&clean).unwrap();
    log.append(batch([command(1, 1, 9)])).unwrap();
    log.flush().unwrap();
    let killed = clean.fork(0);
    log.close().unwrap();
    killed.kill_process();
    // A beginning without its first sector was never finished.
    let torn = doubtful();
    let name = "00000000000000000001.seg";
    let payload = command(4, 1, 900).payload.to_bytes();
    let bytes = torn.file_bytes(name).unwrap();
    let at = bytes.windows(payload.len() / 2).position(|w| *w == payload[..payload.len() / 2]);
    torn.zero_range(name, at.unwrap() as u64 - 96, 96);

    for disk in [clean, killed] {
        let (_, recovered) = open(&disk).unwrap();
        assert!(!recovered.tail.is_doubtful() && !recovered.group(GROUP).is_in_doubt);
    }
    let (_, recovered) = open(&torn).unwrap();
    assert_eq!(recovered.group(GROUP).is_in_doubt, recovered.tail.is_doubtful());
}

#[test]
fn a_crash_while_settling_leaves_it_settled_or_not() {
    let whole = doubtful();
    let (log, _) = open(&whole).unwrap();
    drop(log);
    let settle_on = |disk: &SimDisk| -> bool {
        let Ok((mut log, _)) = open(disk) else { return false };
        log.append(settle(GROUP)).is_ok() && log.flush().is_ok()
    };
    let trial = whole.fork(0);
    let before = trial.calls();
    assert!(settle_on(&trial));
    let mut outcomes = [0, 0];
    for crash_at in before + 1..=trial.calls() + 1 {
        let disk = whole.fork(crash_at);
        disk.crash_at_call(crash_at);
        let is_settled = settle_on(&disk);
        disk.lose_power();

        let found = open(&disk).unwrap().1;

        let [first, other] = in_doubt(&found);
        assert!(!(is_settled && first), "what was durable is remembered");
        assert!(other);
        assert_eq!(found.group(GROUP).last, id(3, 1));
        outcomes[usize::from(first)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn settling_without_doubt_writes_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(1, 1, 9)])).unwrap();
    log.flush().unwrap();
    let before = log.stats().bytes;

    log.append(settle(GROUP)).unwrap();
    log.flush().unwrap();

    assert_eq!(log.stats().bytes, before);
    let log: Log<SimDisk> = log;
    assert_eq!(log.last_index(GROUP), index(1));
}
