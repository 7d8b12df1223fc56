//! What a log accepts, returns and gives back, on a disk that works.

use proptest::prelude::*;
use raft_core::{Entry, EntryPayload, GroupId, LogIndex, Term};
use raft_wal::sim::{SimDisk, SimFault, SimOp};
use raft_wal::{AppendError, Batch, Log, Options, ReadError};

use crate::common::world::{World, steps};
use crate::common::{
    GROUP, SEGMENT_BYTES, all_entries, batch, command, entries_of, id, identity, index, membership,
    open, options, state, vote,
};

fn group(id: u64) -> GroupId {
    GroupId::new(id).unwrap()
}

fn write(log: &mut Log<SimDisk>, batch: Batch) {
    log.append(batch).unwrap();
    log.flush().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_range_reads_what_a_vector_would(
        steps in steps(40),
        seed: u64,
        ranges in prop::collection::vec((0u64..120, 0u64..40, 0usize..20_000), 1..20),
    ) {
        let mut world = World::new(SimDisk::new(seed));
        world.open().unwrap();
        assert!(world.run(&steps));
        let model = world.now().clone();
        let log = world.log.as_ref().unwrap();
        for (from, count, bytes_max) in ranges {
            let from = index(model.base.index.get().saturating_sub(3) + from);
            let upto = index(from.get() + count);
            let read = log.entries(GROUP, from..=upto, bytes_max);
            if from <= model.base.index {
                assert!(matches!(read, Err(ReadError::Compacted { .. })));
            } else if from > model.last().index {
                assert!(matches!(read, Err(ReadError::Beyond { .. })));
            } else {
                prop_assert_eq!(read.unwrap(), expected(&model.entries, from, upto, bytes_max));
            }
        }
        prop_assert_eq!(log.hard_state(GROUP), model.hard_state);
        prop_assert_eq!(log.first_index(GROUP), model.base.index.next());
        prop_assert_eq!(log.last_index(GROUP), model.last().index);
        prop_assert_eq!(log.term(GROUP, model.base.index), Some(model.base.term));
        for entry in &model.entries {
            prop_assert_eq!(log.term(GROUP, entry.id.index), Some(entry.id.term));
        }
    }

    #[test]
    fn opening_again_and_again_changes_nothing(steps in steps(30), seed: u64) {
        let mut world = World::new(SimDisk::new(seed));
        world.open().unwrap();
        assert!(world.run(&steps));
        world.log.take().unwrap().close().unwrap();
        world.acknowledged = world.history.len() - 1;
        let mut generation = 0;
        for _ in 0..4 {
            world.open().unwrap();
            let bytes = world.disk.bytes_used();
            world.log = None;
            let (_, recovered) = open(&world.disk).unwrap();
            prop_assert!(recovered.generation > generation);
            generation = recovered.generation;
            // A segment that was begun in vain is cut to its header, checkpoint, index and trailer.
            prop_assert!(world.disk.bytes_used() <= bytes + 4 * 4096);
        }
    }
}

fn expected(entries: &[Entry], from: LogIndex, upto: LogIndex, bytes_max: usize) -> Vec<Entry> {
    let mut bytes = 0;
    let wanted = entries.iter().filter(|entry| (from..=upto).contains(&entry.id.index));
    let fits = wanted.enumerate().take_while(|(nth, entry)| {
        bytes += entry.payload.command_len() + 32;
        *nth == 0 || bytes <= bytes_max
    });
    fits.map(|(_, entry)| entry.clone()).collect()
}

#[test]
fn entries_of_every_size_cross_the_end_of_a_segment() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let entries: Vec<_> = (1..=400).map(|n| command(n, 1, (n as usize * 37) % 1500)).collect();
    for entry in &entries {
        write(&mut log, batch([entry.clone()]));
    }

    assert!(log.stats().rotations > 5);
    assert_eq!(all_entries(&log), entries);
    drop(log);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(all_entries(&log), entries);
    assert_eq!(recovered.group(GROUP).last, id(400, 1));
}

#[test]
fn a_batch_that_ends_anywhere_near_the_end_of_a_segment_is_read_back() {
    for slack in (0..3000).step_by(8) {
        let disk = SimDisk::new(1);
        let (mut log, _) = open(&disk).unwrap();
        let entries = [command(1, 1, 25_000 - slack), command(2, 1, 4000), command(3, 1, slack)];
        for entry in &entries {
            write(&mut log, batch([entry.clone()]));
        }
        assert_eq!(all_entries(&log), entries);
        drop(log);
        assert_eq!(all_entries(&open(&disk).unwrap().0), entries, "{slack}");
    }
}

#[test]
fn the_largest_entry_fits_and_one_byte_more_is_refused() {
    for segment_bytes in [SEGMENT_BYTES, 1 << 20] {
        let disk = SimDisk::new(1);
        let options = Options { segment_bytes, ..options() };
        let (mut log, _) = Log::open(disk.clone(), identity(), options.clone()).unwrap();
        for n in 1..=5 {
            let max = log.entry_bytes_max();
            let refused = log.append(batch([command(n, 1, max + 1)]));
            assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
            write(
                &mut log,
                Batch { hard_state: Some(state(n, Some(1))), ..batch([command(n, 1, max)]) },
            );
        }
        let entries = all_entries(&log);
        drop(log);
        let (log, _) = Log::open(disk, identity(), options).unwrap();
        assert_eq!(all_entries(&log), entries);
    }
}

#[test]
fn a_batch_with_too_many_entries_is_refused() {
    let (mut log, _) = open(&SimDisk::new(1)).unwrap();
    let noop = |n| Entry { id: id(n, 1), payload: EntryPayload::Noop };

    let refused = log.append(batch((1..=65_001).map(noop)));

    assert!(matches!(refused, Err(AppendError::TooManyEntries { max: 65_000, .. })));
}

#[test]
fn a_gap_an_overlap_and_a_falling_term_are_refused() {
    let (mut log, _) = open(&SimDisk::new(1)).unwrap();
    write(&mut log, batch([command(1, 2, 1), command(2, 2, 1)]));

    let gap = log.append(batch([command(4, 2, 1)]));
    let overlap = log.append(batch([command(2, 2, 1)]));
    let falling = log.append(batch([command(3, 1, 1)]));

    let expected = index(3);
    assert!(
        matches!(gap, Err(AppendError::OutOfOrder { expected: e, found }) if e == expected && found == index(4))
    );
    assert!(matches!(overlap, Err(AppendError::OutOfOrder { expected: e, .. }) if e == expected));
    assert!(
        matches!(falling, Err(AppendError::TermFalls { predecessor, .. }) if predecessor == Term::new(2))
    );
}

#[test]
fn a_term_that_falls_and_a_second_vote_in_a_term_are_refused() {
    let (mut log, _) = open(&SimDisk::new(1)).unwrap();
    log.append(vote(5, 1)).unwrap();

    assert!(matches!(log.append(vote(4, 1)), Err(AppendError::HardStateFalls { .. })));
    assert!(matches!(log.append(vote(5, 2)), Err(AppendError::HardStateFalls { .. })));
    assert!(log.append(vote(5, 1)).is_ok());
    assert!(log.append(vote(6, 2)).is_ok());
}

#[test]
fn compacted_entries_cannot_be_removed() {
    let (mut log, _) = open(&SimDisk::new(1)).unwrap();
    write(&mut log, batch((1..=5).map(|n| command(n, 1, 1))));
    log.compact_prefix(GROUP, id(3, 1)).unwrap();

    let refused = log.append(Batch { truncate_from: Some(index(3)), ..Batch::new(GROUP) });

    assert!(matches!(refused, Err(AppendError::Compacted { first, .. }) if first == index(4)));
    let accepted = Batch { truncate_from: Some(index(4)), ..batch([command(4, 2, 1)]) };
    assert!(log.append(accepted).is_ok());
}

#[test]
fn removed_entries_do_not_come_back() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch((1..=9).map(|n| command(n, 1, 3000))));
    write(
        &mut log,
        Batch {
            truncate_from: Some(index(3)),
            hard_state: Some(state(2, None)),
            ..Batch::new(GROUP)
        },
    );
    drop(log);
    disk.lose_power();

    let (log, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.group(GROUP).last, id(2, 1));
    assert_eq!(recovered.group(GROUP).hard_state, state(2, None));
    assert_eq!(all_entries(&log).len(), 2);
}

#[test]
fn an_index_that_was_written_twice_reads_as_written_last() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    // All three in one flight, and so in one batch on disk.
    log.append(batch([command(1, 1, 10), command(2, 1, 10)])).unwrap();
    log.append(Batch { truncate_from: Some(index(2)), ..batch([command(2, 2, 20)]) }).unwrap();
    log.append(Batch {
        truncate_from: Some(index(2)),
        ..batch([command(2, 3, 30), command(3, 3, 1)])
    })
    .unwrap();
    log.flush().unwrap();
    let expected = [command(1, 1, 10), command(2, 3, 30), command(3, 3, 1)];
    assert_eq!(log.stats().fdatasyncs, 1);
    drop(log);

    let (log, _) = open(&disk).unwrap();

    assert_eq!(all_entries(&log), expected);
}

#[test]
fn everything_that_gathered_is_one_write_and_one_sync() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.flush().unwrap();
    let before = disk.calls();
    for n in 1..=20 {
        log.append(Batch { hard_state: Some(state(n, None)), ..batch([command(n, n, 50)]) })
            .unwrap();
    }
    log.flush().unwrap();

    assert_eq!(disk.calls() - before, 2);
    assert_eq!(log.stats().fdatasyncs, 1);
    assert_eq!(log.stats().batches, 20);
    assert_eq!(log.stats().entries, 20);
}

#[test]
fn compaction_gives_space_back() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let least = disk.bytes_used();
    let mut most = 0;
    for n in 1..=1000 {
        write(&mut log, batch([command(n, 1, 2000)]));
        if n % 20 == 0 {
            log.compact_prefix(GROUP, id(n - 2, 1)).unwrap();
            log.flush().unwrap();
        }
        most = most.max(disk.bytes_used());
    }

    assert!(most <= least + 4 * SEGMENT_BYTES, "{most}");
    assert!(log.stats().segments_dropped > 30);
    assert!(log.stats().segments <= 3);
    assert_eq!(all_entries(&log).len(), 2);
    drop(log);
    assert_eq!(all_entries(&open(&disk).unwrap().0).len(), 2);
}

#[test]
fn a_snapshot_beyond_the_log_replaces_it() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch((1..=3).map(|n| command(n, 1, 10))));
    log.compact_prefix(GROUP, id(100, 4)).unwrap();
    write(&mut log, batch([command(101, 4, 7)]));
    drop(log);

    let (log, recovered) = open(&disk).unwrap();

    let found = recovered.group(GROUP);
    assert_eq!((found.base, found.last), (id(100, 4), id(101, 4)));
    assert_eq!(log.term(GROUP, index(100)), Some(Term::new(4)));
    assert_eq!(all_entries(&log), [command(101, 4, 7)]);
}

#[test]
fn a_snapshot_that_contradicts_the_log_replaces_it() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch((1..=9).map(|n| command(n, 1, 10))));
    log.compact_prefix(GROUP, id(5, 2)).unwrap();
    log.flush().unwrap();
    assert_eq!(log.last_index(GROUP), index(5));
    drop(log);

    let (_, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.group(GROUP).last, id(5, 2));
}

#[test]
fn groups_share_a_log_and_nothing_else() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let groups: Vec<_> = (1..=20).map(|n| group(n * 1000)).collect();
    for round in 1..=30 {
        for (nth, group) in groups.iter().enumerate() {
            let entries = vec![command(round, round, 40 * nth)];
            let hard_state = Some(state(round, Some(nth as u64 + 1)));
            log.append(Batch { group: *group, hard_state, entries, ..Batch::new(*group) }).unwrap();
        }
        log.flush().unwrap();
    }
    log.compact_prefix(groups[3], id(10, 10)).unwrap();
    log.compact_prefix(groups[4], id(77, 40)).unwrap();
    log.flush().unwrap();
    drop(log);

    let (log, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.groups.len(), 20);
    for (nth, group) in groups.iter().enumerate() {
        let found = recovered.group(*group);
        assert_eq!(found.hard_state, state(30, Some(nth as u64 + 1)));
        let (first, last) = match nth {
            3 => (11, 30),
            4 => (78, 77),
            _ => (1, 30),
        };
        let expected: Vec<_> = (first..=last).map(|n| command(n, n, 40 * nth)).collect();
        assert_eq!(entries_of(&log, *group).unwrap(), expected);
    }
}

#[test]
fn a_quiet_group_keeps_old_segments() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, Batch { entries: vec![command(1, 1, 9)], ..Batch::new(group(9)) });
    for n in 1..=60 {
        write(&mut log, batch([command(n, 1, 4000)]));
    }
    log.compact_prefix(GROUP, id(60, 1)).unwrap();
    log.flush().unwrap();
    assert_eq!(log.stats().segments_dropped, 0);

    log.compact_prefix(group(9), id(1, 1)).unwrap();
    log.flush().unwrap();

    assert!(log.stats().segments_dropped > 3);
    drop(log);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).base, id(60, 1));
    assert_eq!(recovered.group(group(9)).base, id(1, 1));
}

#[test]
fn the_tail_cache_stays_within_its_bound() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=100 {
        write(&mut log, batch([command(n, 1, 300)]));
        assert!(log.stats().cached_bytes <= options().tail_cache_bytes_max as u64);
    }

    log.append(batch([command(101, 1, 20_000)])).unwrap();
    assert!(log.stats().cached_bytes > 20_000, "what is not durable stays");
    assert_eq!(all_entries(&log).len(), 101);
}

#[test]
fn too_many_bytes_in_the_queue_are_refused_until_they_are_written() {
    let options = Options { queue_bytes_max: 1000, ..options() };
    let (mut log, _) = Log::open(SimDisk::new(1), identity(), options).unwrap();
    log.append(batch([command(1, 1, 5000)])).unwrap();

    let refused = log.append(batch([command(2, 1, 10)]));

    assert!(matches!(refused, Err(AppendError::Full { max: 1000, .. })));
    log.flush().unwrap();
    assert!(log.append(batch([command(2, 1, 10)])).is_ok());
}

#[test]
fn what_is_found_lists_terms_and_memberships() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let entries =
        [membership(1, 1), command(2, 1, 1), command(3, 4, 1), membership(4, 4), command(5, 6, 1)];
    write(&mut log, batch(entries.clone()));
    log.compact_prefix(GROUP, id(1, 1)).unwrap();
    log.close().unwrap();

    let (log, recovered) = open(&disk).unwrap();

    let found = recovered.group(GROUP);
    assert_eq!(found.term_starts, [id(2, 1), id(3, 4), id(5, 6)]);
    assert_eq!(found.memberships, [index(4)]);
    assert_eq!(all_entries(&log), entries[1..]);
    assert_eq!(recovered.generation, 2);
    assert!(!recovered.created);
}

#[test]
fn a_log_with_other_options_goes_on_with_them() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch([command(1, 1, 100)]));
    drop(log);
    let larger = Options { segment_bytes: 1 << 20, ..options() };
    let (mut log, _) = Log::open(disk.clone(), identity(), larger).unwrap();
    write(&mut log, batch([command(2, 1, 500_000)]));
    drop(log);

    let (mut log, _) = open(&disk).unwrap();

    write(&mut log, batch([command(3, 1, 10)]));
    assert_eq!(all_entries(&log).len(), 3);
}

#[test]
fn a_segment_that_is_sealed_late_remembers_what_was_compacted_when_it_ended() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch((1..=3).map(|n| command(n, 1, 10))));
    drop(log);
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, batch([command(4, 1, 25_000)]));
    // The write of the index, after that of the batch which begins the next segment.
    disk.fail(SimOp::Write, 2, SimFault::Io);
    write(&mut log, batch([command(5, 1, 25_000)]));
    log.compact_prefix(GROUP, id(3, 1)).unwrap();
    log.flush().unwrap();
    assert_eq!(log.stats().segments_dropped, 1);
    drop(log);

    for _ in 0..3 {
        let (log, recovered) = open(&disk).unwrap();
        assert_eq!(recovered.group(GROUP).base, id(3, 1));
        assert_eq!(all_entries(&log).len(), 2);
    }
}

#[test]
fn a_segment_that_was_begun_for_nothing_does_no_harm() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let mut begun_for_nothing = 0;
    for n in 1..=4000 {
        write(&mut log, batch([command(n, 1, 100 + (n as usize * 29) % 200)]));
        let before = log.stats().rotations;
        write(&mut log, Batch::new(GROUP));
        write(&mut log, Batch { truncate_from: Some(index(n + 1)), ..Batch::new(GROUP) });
        if log.stats().rotations > before {
            begun_for_nothing += 1;
            let after_crash = disk.fork(n);
            after_crash.lose_power();
            assert_eq!(open(&after_crash).unwrap().1.group(GROUP).last, id(n, 1));
        }
    }
    assert!(begun_for_nothing > 0);
    assert_eq!(all_entries(&log).len(), 4000);
}
