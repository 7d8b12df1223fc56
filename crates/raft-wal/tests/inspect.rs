//! Looking at the files of a log: whatever is damaged is named, with its place, and nothing else is.

use std::collections::BTreeMap;

use raft_core::ClusterId;
use raft_wal::inspect::{Content, Cost, Inspector, Met, SegmentState, Verification};
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Identity, Log};

use crate::common::{self, GROUP, batch, command, id, identity, membership, open, options, vote};

/// Two sealed segments, the one that is written to, and spares.
fn sample() -> SimDisk {
    let disk = SimDisk::new(11);
    for life in 0..3 {
        let (mut log, _) = open(&disk).unwrap();
        let first = 1 + 4 * life;
        log.append(vote(1 + life, 2)).unwrap();
        log.append(batch([membership(first, 1 + life), command(first + 1, 1 + life, 40)])).unwrap();
        log.flush().unwrap();
        log.append(batch([command(first + 2, 1 + life, 700)])).unwrap();
        log.flush().unwrap();
        log.append(batch([command(first + 3, 1 + life, 5)])).unwrap();
        log.flush().unwrap();
        log.close().unwrap();
    }
    disk
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| disk.file_bytes(&name).map(|bytes| (name, bytes));
    disk.file_names().into_iter().filter_map(content).collect()
}

fn verify(disk: &SimDisk) -> Verification {
    Inspector::new(disk.clone()).verify().unwrap()
}

fn contents(disk: &SimDisk, number: u64) -> Vec<Content> {
    let mut contents = Vec::new();
    let mut each = |met| {
        if let Met::Batch(batch) = met {
            contents.extend(batch.records.into_iter().map(|record| record.content));
        }
    };
    Inspector::new(disk.clone()).segment(number, &mut each).unwrap().unwrap();
    contents
}

#[test]
fn an_intact_log_has_no_damage_and_is_not_touched() {
    let disk = sample();
    let before = files(&disk);

    let found = verify(&disk);

    assert!(found.damage.is_empty() && found.unreadable.is_empty(), "{found:?}");
    assert_eq!(files(&disk), before);
    let states: Vec<_> = found.segments.iter().map(|segment| segment.state).collect();
    assert_eq!(
        states[..3],
        [SegmentState::Sealed, SegmentState::Sealed, SegmentState::Open],
        "{states:?}"
    );
    assert!(states[3..].iter().all(|state| *state == SegmentState::Spare));
    assert_eq!(found.segments[1].ranges, [(GROUP, common::index(5), common::index(8))]);
    assert_eq!(found.end.map(|end| (end.segment, end.bytes)), Some((3, 0)));
}

#[test]
fn identity_and_records_are_what_was_written() {
    let disk = sample();

    let ident = Inspector::new(disk.clone()).identity().unwrap();
    let contents = contents(&disk, 2);

    assert_eq!(ident.identity, identity());
    assert!(matches!(&contents[0], Content::Checkpoint(groups) if groups[0].last == id(4, 1)));
    let entries: Vec<_> = contents
        .iter()
        .filter_map(|content| match content {
            Content::Entry(entry) => Some(entry.clone()),
            _ => None,
        })
        .collect();
    let expected = [membership(5, 2), command(6, 2, 40), command(7, 2, 700), command(8, 2, 5)];
    assert_eq!(entries, expected);
    assert!(contents.contains(&Content::HardState(vote(2, 2).hard_state.unwrap())));
}

#[test]
fn every_flipped_byte_is_found_in_its_file() {
    let disk = sample();
    let end = verify(&disk).end.unwrap();
    let mut costs = BTreeMap::new();
    for (name, bytes) in files(&disk).into_iter().filter(|(name, _)| name != "LOCK") {
        for at in 0..bytes.len() {
            // What is zero everywhere around is like its neighbours.
            let near = &bytes[at.saturating_sub(8)..(at + 8).min(bytes.len())];
            if at % 1021 != 0 && near.iter().all(|byte| *byte == 0) {
                continue;
            }
            let damaged = disk.fork(0);
            assert!(damaged.flip_bit(&name, at as u64, 2));
            let found = verify(&damaged);
            let number = name.strip_suffix(".seg").and_then(|digits| digits.parse::<u64>().ok());
            let is_behind_end = number.is_some_and(|number| {
                number > end.segment || (number == end.segment && at as u64 >= end.offset)
            });
            if is_behind_end && at >= 4096 {
                // It looks like a write under way.
                assert!(found.damage.is_empty(), "{name} byte {at}: {found:?}");
                assert!(found.end.unwrap().bytes > 0, "{name} byte {at}");
                continue;
            }
            let hit = found.damage.iter().find(|damage| damage.corruption.path.ends_with(&name));
            let is_last = number == Some(end.segment) && found.end.is_some_and(|e| e.bytes > 0);
            match hit {
                Some(damage) => *costs.entry(damage.cost).or_insert(0) += 1,
                // Of the last batch it cannot be told whether it was finished.
                None => assert!(is_last, "{name} byte {at} goes unnoticed: {found:?}"),
            }
        }
    }
    assert_eq!(
        costs.keys().copied().collect::<Vec<_>>(),
        [Cost::Nothing, Cost::Derived, Cost::Data]
    );
}

#[test]
fn a_damaged_payload_is_named_with_its_entry_and_the_rest_is_read() {
    let disk = sample();
    let name = "00000000000000000001.seg";
    let bytes = disk.file_bytes(name).unwrap();
    let entry = command(3, 1, 700);
    let payload = entry.payload.to_bytes();
    let at = bytes.windows(payload.len()).position(|window| *window == payload).unwrap();
    disk.flip_bit(name, at as u64, 0);

    let found = verify(&disk);

    let [damage] = &found.damage[..] else { panic!("{found:?}") };
    assert_eq!(damage.corruption.offset, at as u64 / 8 * 8);
    assert_eq!(damage.corruption.entries, [(GROUP, entry.id)]);
    let contents = contents(&disk, 1);
    assert!(contents.contains(&Content::DamagedEntry(entry.id)));
    assert!(contents.contains(&Content::Entry(command(4, 1, 5))), "what follows is read");
}

#[test]
fn a_deleted_file_is_named() {
    let disk = sample();
    for name in files(&disk).into_keys().filter(|name| name.ends_with(".seg")) {
        let number: u64 = name.strip_suffix(".seg").unwrap().parse().unwrap();
        let damaged = disk.fork(0);
        damaged.remove_file(&name);
        let found = verify(&damaged);
        // Of the spares, only the first is needed; the oldest may have been compacted away.
        if (2..=3).contains(&number) {
            assert!(
                found.damage.iter().any(|damage| damage.corruption.path.ends_with(&name)),
                "{name}: {found:?}"
            );
        }
    }
}

#[test]
fn a_log_that_is_given_to_another_cluster_is_its_own_from_then_on() {
    let whole = sample();
    let heir = ClusterId::new([9; 16]);
    let trial = whole.fork(0);
    let before = trial.calls();
    let given = Log::give_to(&trial, identity(), heir).unwrap();
    assert_eq!(given, Identity { cluster: heir, ..identity() });
    for crash_at in before + 1..=trial.calls() + 1 {
        let disk = whole.fork(crash_at);
        disk.crash_at_call(crash_at);
        let gave = Log::give_to(&disk, identity(), heir);
        disk.lose_power();

        let old = Log::open(disk.fork(0), identity(), options());
        let new = Log::open(disk.fork(0), given, options());

        assert_ne!(old.is_ok(), new.is_ok(), "it is one's or the other's");
        assert!(gave.is_err() || new.is_ok());
        let (log, recovered) = new.or(old).unwrap();
        assert_eq!(recovered.group(GROUP).last, id(12, 3));
        assert_eq!(common::all_entries(&log).len(), 12);
    }
}

#[test]
fn a_running_log_can_be_looked_at() {
    let disk = sample();
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(13, 3, 9)])).unwrap();
    log.flush().unwrap();
    log.append(Batch::new(GROUP)).unwrap();

    let found = verify(&disk);

    assert!(found.damage.is_empty(), "{found:?}");
    assert!(contents(&disk, 4).contains(&Content::Entry(command(13, 3, 9))));
    drop(log);
}
