//! What a failing, full or foreign disk leads to.

use raft_core::{ClusterId, Entry};
use raft_wal::sim::{SimDisk, SimFault, SimOp};
use raft_wal::{
    AppendError, Batch, CloseError, FlushError, Identity, Log, OnAmbiguousTail, OpenError, Options,
    OptionsError, Reader, Tail, Unsupported,
};

use crate::common::world::World;
use crate::common::{
    self, GROUP, SEGMENT_BYTES, Step, all_entries, batch, command, id, identity, index, open,
    options, vote,
};

fn script() -> Vec<Step> {
    let append = |count, len| Step::Append { count, len, term_up: 0 };
    vec![
        Step::Vote { term_up: 1 },
        append(2, 100),
        Step::Flush,
        append(3, 8_000),
        Step::Flush,
        Step::Idle,
        append(3, 8_000),
        Step::Replace { back: 2, count: 2, len: 500 },
        Step::Flush,
        Step::Compact { eighths: 7 },
        Step::Flush,
        append(3, 8_000),
        Step::Flush,
        Step::Close,
        append(1, 10),
        Step::Flush,
    ]
}

#[test]
fn no_single_failing_call_loses_anything_acknowledged() {
    let mut healthy = World::new(SimDisk::new(1));
    healthy.open().unwrap();
    assert!(healthy.run(&script()));
    for number in 1..=healthy.disk.calls() {
        for fault in [SimFault::Io, SimFault::NoSpace, SimFault::Short] {
            for power in [false, true] {
                let mut world = World::new(SimDisk::new(number));
                world.runs_out_of_space = true;
                world.disk.fail_call(number, fault);
                if world.open().is_ok() {
                    world.run(&script());
                }
                world.log = None;
                if power {
                    world.disk.lose_power()
                } else {
                    world.disk.kill_process()
                }
                let opened = world.open();
                assert!(opened.is_ok(), "{number} {fault:?} {power}: {:?}", opened.err());
            }
        }
    }
}

#[test]
fn a_failed_sync_stops_the_log_and_is_not_retried() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(1, 1, 10)])).unwrap();
    log.flush().unwrap();
    disk.fail(SimOp::Sync, 0, SimFault::Io);
    log.append(batch([command(2, 1, 10)])).unwrap();

    assert!(matches!(log.flush(), Err(FlushError::Stopped(_))));

    let calls = disk.calls();
    assert!(matches!(log.flush(), Err(FlushError::Stopped(_))));
    assert!(matches!(log.append(batch([command(3, 1, 1)])), Err(AppendError::Stopped(_))));
    assert!(log.mark_idle().is_err());
    assert_eq!(disk.calls(), calls, "nothing touches the disk any more");
    assert_eq!(all_entries(&log).len(), 2, "what is in memory can be read");
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_not_believed() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        disk.fail(SimOp::Sync, 0, SimFault::Io);
        log.append(batch([command(1, 1, 3000)])).unwrap();
        assert!(log.flush().is_err());
        drop(log);
        disk.kill_process();
        let (log, recovered) = open(&disk).unwrap();
        let found = all_entries(&log).len();
        lost += usize::from(found == 0);
        assert_eq!(found == 0, recovered.group(GROUP).last == id(0, 0));
        drop(log);

        disk.lose_power();

        let (log, _) = open(&disk).unwrap();
        assert_eq!(all_entries(&log).len(), found, "what was reported is durable");
    }
    assert!(lost > 0, "the disk has dropped a sector at least once");
}

#[test]
fn a_failed_write_stops_the_log() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.fail(SimOp::Write, 0, SimFault::NoSpace);
    log.append(batch([command(1, 1, 10)])).unwrap();

    assert!(matches!(log.flush(), Err(FlushError::Stopped(_))));
}

#[test]
fn short_writes_are_completed() {
    let disk = SimDisk::new(1);
    disk.fail_at_random(SimOp::Write, 700_000, SimFault::Short);
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..50 {
        log.append(batch([command(n, 1, 900)])).unwrap();
        if log.flush().is_err() {
            // A short write of nothing is an error.
            break;
        }
    }
    let entries = all_entries(&log);
    drop(log);
    disk.kill_process();

    let (log, _) = open(&disk).unwrap();

    assert!(entries.starts_with(&all_entries(&log)));
}

/// Appends until there is no space; returns how many entries are durable.
fn fill(log: &mut Log<SimDisk>) -> u64 {
    for n in 1.. {
        match log.append(batch([command(n, 1, 4000)])) {
            Ok(_) => log.flush().map(drop).unwrap(),
            Err(AppendError::NoSpace(_)) => return n - 1,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

#[test]
fn a_full_disk_stops_appends_before_they_are_written_and_compaction_revives_them() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(5 * SEGMENT_BYTES);
    let durable = fill(&mut log);
    assert!(durable > 3);
    assert!(log.stats().out_of_space);
    log.flush().unwrap();

    log.compact_prefix(GROUP, id(durable - 1, 1)).unwrap();
    log.flush().unwrap();

    log.append(batch([command(durable + 1, 1, 1)])).unwrap();
    log.flush().unwrap();
    let kept: Vec<_> = all_entries(&log).iter().map(|entry| entry.id.index.get()).collect();
    assert_eq!(kept, [durable, durable + 1]);
    assert!(!log.stats().out_of_space);
}

#[test]
fn a_full_disk_takes_votes_truncations_and_compactions_and_opens_again() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(4 * SEGMENT_BYTES);
    let durable = fill(&mut log);
    assert!(log.stats().out_of_space);

    for term in 1..=6 {
        log.append(vote(term, term)).unwrap();
        log.flush().unwrap();
    }
    let truncate_from = Some(index(durable));
    log.append(Batch { truncate_from, ..Batch::new(GROUP) }).unwrap();
    log.compact_prefix(GROUP, id(2, 1)).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.lose_power();
    disk.set_capacity(disk.bytes_used());

    let (mut log, recovered) = open(&disk).unwrap();

    let found = recovered.group(GROUP);
    assert_eq!(found.hard_state, common::state(6, Some(6)));
    assert_eq!((found.base, found.last), (id(2, 1), id(durable - 1, 1)));
    log.append(vote(7, 1)).unwrap();
    log.flush().unwrap();
}

#[test]
fn what_was_accepted_before_want_of_space_was_known_is_not_in_the_way_of_a_vote() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(3 * SEGMENT_BYTES + 4096);
    for n in 1..=2 {
        log.append(batch([command(n, 1, 20_000)])).unwrap();
    }
    log.append(vote(1, 1)).unwrap();

    log.flush().unwrap();

    assert_eq!(log.stats().entries, 2);
}

#[test]
fn space_freed_by_others_revives_appends() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(3 * SEGMENT_BYTES);
    let durable = fill(&mut log);

    disk.set_capacity(100 * SEGMENT_BYTES);
    log.flush().unwrap();

    log.append(batch([command(durable + 1, 1, 4000)])).unwrap();
    log.flush().unwrap();
    assert_eq!(all_entries(&log).len() as u64, durable + 1);
}

#[test]
fn a_disk_that_is_full_at_an_open_says_so_and_loses_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(3 * SEGMENT_BYTES);
    let durable = fill(&mut log);
    drop(log);
    disk.set_capacity(disk.bytes_used());

    let error = open(&disk).map(|_| ()).unwrap_err();

    assert!(matches!(error, OpenError::NoSpace { bytes: SEGMENT_BYTES, .. }), "{error}");
    disk.set_capacity(u64::MAX);
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all_entries(&log).len() as u64, durable);
}

#[test]
fn no_space_at_creation_leaves_nothing_that_gets_in_the_way() {
    let disk = SimDisk::new(1);
    disk.set_capacity(SEGMENT_BYTES);
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");

    disk.set_capacity(u64::MAX);

    assert!(open(&disk).unwrap().1.created);
}

#[test]
fn a_log_can_be_read_without_a_lock_and_without_touching_it() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=20 {
        log.append(batch([command(n, 1, 5000)])).unwrap();
        log.flush().unwrap();
    }
    let before = disk.file_names();

    for op in [SimOp::Write, SimOp::Sync, SimOp::SyncDir, SimOp::Create, SimOp::Unlink, SimOp::Lock]
    {
        disk.fail_at_random(op, 1_000_000, SimFault::Io);
    }
    let (reader, recovered) = Reader::open_on(&disk, identity(), &options()).unwrap();

    assert_eq!(recovered.group(GROUP).last, id(20, 1));
    let entries = reader.entries(GROUP, index(1)..=index(20), usize::MAX).unwrap();
    assert_eq!(entries, all_entries(&log));
    assert_eq!(disk.file_names(), before);
}

#[test]
fn a_second_open_is_refused() {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk).unwrap();

    assert!(matches!(open(&disk), Err(OpenError::AlreadyOpen { .. })));

    drop(log);
    assert!(open(&disk).is_ok());
}

#[test]
fn the_log_of_another_cluster_or_node_is_refused() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    let other_cluster = Identity { cluster: ClusterId::new([8; 16]), ..identity() };
    let other_node = Identity { node: common::node(2), ..identity() };

    let cluster = Log::open(disk.clone(), other_cluster, options()).map(|_| ()).unwrap_err();
    let node = Log::open(disk, other_node, options()).map(|_| ()).unwrap_err();

    assert!(matches!(cluster, OpenError::OtherCluster { .. }), "{cluster}");
    assert!(matches!(node, OpenError::OtherNode { .. }), "{node}");
    assert_eq!(
        node.to_string(),
        "sim/ is the log of node 1, not of node 2; check the path and the node id"
    );
}

#[test]
fn options_that_cannot_work_are_named() {
    let too_small = Options { segment_bytes: 4096, ..Options::default() };
    let odd = Options { segment_bytes: (1 << 20) + 1, ..Options::default() };
    let zero = Options { queue_bytes_max: 0, ..Options::default() };

    assert!(matches!(too_small.validate(), Err(OptionsError::SegmentBytes { bytes: 4096, .. })));
    assert!(matches!(odd.validate(), Err(OptionsError::SegmentBytes { .. })));
    assert_eq!(zero.validate(), Err(OptionsError::Zero { option: "queue_bytes_max" }));
    assert_eq!(Options::default().validate(), Ok(()));
}

#[test]
fn an_ambiguous_end_is_refused_if_asked_for() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(1, 1, 10)])).unwrap();
    log.flush().unwrap();
    drop(log);
    let before = disk.file_names();
    let careful = Options { on_ambiguous_tail: OnAmbiguousTail::Fail, ..options() };

    let error = Log::open(disk.clone(), identity(), careful.clone()).map(|_| ()).unwrap_err();

    assert!(matches!(error, OpenError::AmbiguousTail { bytes: 0, .. }), "{error}");
    assert_eq!(disk.file_names(), before);
    let (log, recovered) = open(&disk).unwrap();
    assert!(matches!(recovered.tail, Tail::Ambiguous(at) if at.bytes == 0));
    log.close().unwrap();
    let (_, recovered) = Log::open(disk, identity(), careful).unwrap();
    assert_eq!(recovered.tail, Tail::Clean);
}

#[test]
fn an_idle_marker_makes_the_end_clean() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(1, 1)).unwrap();
    log.flush().unwrap();
    log.mark_idle().unwrap();
    drop(log);
    disk.kill_process();

    assert_eq!(open(&disk).unwrap().1.tail, Tail::Clean);
}

#[test]
fn a_log_of_a_later_version_is_refused_by_name_and_left_alone() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    for name in disk.file_names() {
        let newer = disk.fork(0);
        // The major version stands at byte 8 of each file, and its block's checksum at the end.
        let mut bytes = newer.file_bytes(&name).unwrap();
        bytes[8] = 3;
        let crc = crc32fast::hash(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
        newer.replace_file(&name, &bytes);

        let error = open(&newer).map(|_| ()).unwrap_err();

        let version = Unsupported::Version(3);
        assert!(
            matches!(&error, OpenError::Unsupported { path, found }
            if path.ends_with(&name) && *found == version),
            "{error}"
        );
        assert!(error.to_string().contains("upgrade"));
        assert_eq!(newer.file_bytes(&name), Some(bytes));
    }
}

#[test]
fn a_log_without_its_identity_file_is_refused() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    disk.remove_file("IDENT");

    assert!(matches!(open(&disk), Err(OpenError::MissingIdent { .. })));
}

#[test]
fn foreign_files_are_left_alone_and_left_overs_are_removed() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    disk.replace_file("notes.txt", b"mine");
    disk.replace_file("00000000000000000009.seg.tmp", b"half");

    drop(open(&disk).unwrap());

    assert_eq!(disk.file_bytes("notes.txt").unwrap(), b"mine");
    assert_eq!(disk.file_bytes("00000000000000000009.seg.tmp"), None);
}

#[test]
fn a_read_error_is_that_of_the_read_alone() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch((1..=4).map(|n| command(n, 1, 5000)))).unwrap();
    log.flush().unwrap();
    disk.fail(SimOp::Read, 0, SimFault::Io);

    assert!(log.entries(GROUP, index(1)..=index(4), 1).is_err());

    assert_eq!(log.entries(GROUP, index(1)..=index(4), 1).unwrap().len(), 1);
    log.append(batch([command(5, 1, 1)])).unwrap();
    log.flush().unwrap();
}

/// A log that has accepted these entries, of which the first one finds room.
fn short_of_space() -> (SimDisk, Log<SimDisk>, Vec<Entry>) {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(2 * SEGMENT_BYTES);
    let entries: Vec<_> = (1..=3).map(|n| command(n, 1, 20_000)).collect();
    for entry in &entries {
        log.append(batch([entry.clone()])).unwrap();
    }
    (disk, log, entries)
}

#[test]
fn what_waits_for_space_can_be_read() {
    let (_, mut log, entries) = short_of_space();

    assert!(matches!(log.flush(), Err(FlushError::NoSpace(_))));

    assert!(log.stats().entries < 3);
    assert_eq!(all_entries(&log), entries);
}

#[test]
fn a_close_says_that_there_was_no_space_for_what_waited() {
    let (disk, log, entries) = short_of_space();

    let error = log.close().unwrap_err();

    assert!(matches!(error, CloseError::NoSpace(_)), "{error}");
    disk.set_capacity(u64::MAX);
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all_entries(&log), entries[..1], "what fits is there");
}

#[test]
fn an_interrupted_write_is_torn_if_its_beginning_is_missing_and_ambiguous_if_only_its_end_is() {
    let (mut torn, mut ambiguous, mut whole) = (0, 0, 0);
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        disk.crash_at_call(disk.calls() + 1);
        log.append(batch([command(1, 1, 1500)])).unwrap();
        assert!(log.flush().is_err());
        drop(log);
        let written = disk.fork(seed);
        disk.lose_power();
        let (log, recovered) = open(&disk).unwrap();
        match recovered.tail {
            Tail::Torn(at) => {
                torn += 1;
                assert!(at.bytes > 0);
            }
            Tail::Ambiguous(at) if at.bytes > 0 => ambiguous += 1,
            Tail::Ambiguous(_) => whole += all_entries(&log).len(),
            Tail::Clean => panic!("a write was under way"),
        }
        assert_eq!(all_entries(&open(&written).unwrap().0).len(), 1, "the process alone died");
    }
    assert!(torn > 10 && ambiguous > 10 && whole > 0, "{torn} {ambiguous} {whole}");
}
