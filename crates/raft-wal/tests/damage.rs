//! What a rotten, cut or missing file leads to: an error that names it, or a log that has
//! everything, or one that says that it may have lost its newest write. Never a shorter log that
//! claims to be whole.

use std::collections::BTreeMap;

use raft_core::HardState;
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Log, OpenError, ReadError, Tail};

use crate::common::{
    self, GROUP, Model, batch, command, entries_of, id, index, membership, open, vote,
};

/// What became of a damaged log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    Refused,
    Whole,
    /// Everything is listed, but some of it cannot be read.
    Unreadable,
    /// The newest write is gone, and that is reported.
    LastFlightLost,
    /// More than that is gone, and that is reported.
    MoreLost,
}

/// A log of three segments, after a crash: sealed, with the end pinned; sealed; active. And what
/// was acknowledged, flight by flight.
fn sample() -> (SimDisk, Vec<Model>) {
    let disk = SimDisk::new(11);
    let mut history = vec![Model::default()];
    let (mut log, _) = open(&disk).unwrap();
    submit(&mut log, &mut history, vote(1, 2));
    submit(&mut log, &mut history, batch([membership(1, 1), command(2, 1, 40)]));
    submit(&mut log, &mut history, batch([command(3, 1, 0)]));
    drop(log);
    let (mut log, _) = open(&disk).unwrap();
    submit(&mut log, &mut history, batch([command(4, 1, 100), command(5, 1, 9)]));
    let truncate_from = Some(index(5));
    submit(&mut log, &mut history, Batch { truncate_from, ..batch([command(5, 2, 30)]) });
    let mut compacted = history.last().unwrap().clone();
    compacted.compact(id(1, 1));
    log.compact_prefix(GROUP, id(1, 1)).unwrap();
    log.flush().unwrap();
    history.push(compacted);
    drop(log);
    let (mut log, _) = open(&disk).unwrap();
    submit(&mut log, &mut history, vote(3, 1));
    submit(&mut log, &mut history, batch([command(6, 3, 700)]));
    submit(&mut log, &mut history, batch([command(7, 3, 50)]));
    submit(&mut log, &mut history, batch([command(8, 3, 20)]));
    drop(log);
    disk.kill_process();
    (disk, history)
}

fn submit(log: &mut Log<SimDisk>, history: &mut Vec<Model>, batch: Batch) {
    let mut model = history.last().unwrap().clone();
    model.apply(&batch);
    log.append(batch).unwrap();
    log.flush().unwrap();
    history.push(model);
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| disk.file_bytes(&name).map(|bytes| (name, bytes));
    disk.file_names().into_iter().filter_map(content).collect()
}

/// Opens the log on a damaged copy and judges the result.
fn judge(disk: &SimDisk, history: &[Model]) -> Outcome {
    let before = files(disk);
    let (log, recovered) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(
                matches!(
                    error,
                    OpenError::Corrupt(_)
                        | OpenError::Unsupported { .. }
                        | OpenError::MissingSegment { .. }
                        | OpenError::MissingIdent { .. }
                ),
                "{error}"
            );
            assert_eq!(files(disk), before, "a refused log is left as it is");
            return Outcome::Refused;
        }
    };
    let group = recovered.group(GROUP);
    let newest = history.last().unwrap();
    let entries = match entries_of(&log, GROUP) {
        Ok(entries) => entries,
        Err(ReadError::Corrupt(_)) => {
            assert_eq!(group, newest.recovered());
            return Outcome::Unreadable;
        }
        Err(error) => panic!("{error}"),
    };
    let found = Model { hard_state: group.hard_state, base: group.base, entries };
    if found == *newest {
        return Outcome::Whole;
    }
    let nth = history.iter().rposition(|m| m.base == found.base && m.entries == found.entries);
    let nth = nth.unwrap_or_else(|| panic!("{found:?}"));
    assert_ne!(recovered.tail, Tail::Clean, "less than what was acknowledged: {found:?}");
    if nth + 2 >= history.len() { Outcome::LastFlightLost } else { Outcome::MoreLost }
}

/// Which bytes of a file hold something, and some of those that do not.
fn interesting(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..bytes.len()).filter(|at| {
        let near = at.saturating_sub(8)..(at + 8).min(bytes.len());
        at % 509 == 0 || bytes[near].iter().any(|byte| *byte != 0)
    })
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let (disk, history) = sample();
    let mut outcomes = BTreeMap::new();
    for (name, bytes) in files(&disk) {
        for at in interesting(&bytes) {
            for bit in 0..8 {
                let damaged = disk.fork(0);
                assert!(damaged.flip_bit(&name, at as u64, bit));
                let outcome = judge(&damaged, &history);
                assert_ne!(outcome, Outcome::MoreLost, "{name} byte {at} bit {bit}");
                *outcomes.entry(outcome).or_insert(0) += 1;
            }
        }
    }
    // The last flight is a batch of one entry of 20 bytes: no more than its bits are ambiguous.
    let lost = outcomes.remove(&Outcome::LastFlightLost).unwrap();
    assert!((1..=(64 + 32 + 24) * 8).contains(&lost), "{lost}");
    let kinds: Vec<_> = outcomes.into_keys().collect();
    assert_eq!(kinds, [Outcome::Refused, Outcome::Whole]);
}

#[test]
fn no_zeroed_sector_or_block_goes_unnoticed() {
    let (disk, history) = sample();
    for (name, bytes) in files(&disk) {
        for len in [512, 4096, 65536] {
            for at in (0..bytes.len()).step_by(len) {
                let damaged = disk.fork(0);
                assert!(damaged.zero_range(&name, at as u64, len as u64));
                judge(&damaged, &history);
            }
        }
    }
}

#[test]
fn no_cut_file_goes_unnoticed() {
    let (disk, history) = sample();
    for (name, bytes) in files(&disk) {
        let lens = interesting(&bytes).filter(|at| at % 7 == 0 || at % 512 < 2);
        for len in lens {
            let damaged = disk.fork(0);
            assert!(damaged.truncate_file(&name, len as u64));
            let outcome = judge(&damaged, &history);
            assert!(matches!(outcome, Outcome::Refused | Outcome::Whole), "{name} cut to {len}");
        }
    }
}

#[test]
fn no_deleted_file_goes_unnoticed() {
    let (disk, history) = sample();
    // The newest segment is one that nothing was promised of.
    let spare = disk.file_names().into_iter().rfind(|name| name.ends_with("seg"));
    for name in disk.file_names() {
        let damaged = disk.fork(0);
        assert!(damaged.remove_file(&name));
        let is_spare = Some(&name) == spare.as_ref();
        let expected = if is_spare { Outcome::Whole } else { Outcome::Refused };
        assert_eq!(judge(&damaged, &history), expected, "{name}");
    }
}

#[test]
fn no_file_of_another_log_is_taken_for_ours() {
    let (disk, history) = sample();
    let other = SimDisk::new(12);
    drop(open(&other).unwrap());
    for name in disk.file_names() {
        let damaged = disk.fork(0);
        let Some(bytes) = other.file_bytes(&name) else { continue };
        damaged.replace_file(&name, &bytes);
        assert_eq!(judge(&damaged, &history), Outcome::Refused, "{name}");
    }
}

#[test]
fn no_segment_passes_for_another() {
    let (disk, history) = sample();
    let segments: Vec<_> = disk.file_names().into_iter().filter(|n| n.ends_with("seg")).collect();
    for source in &segments {
        for target in segments.iter().filter(|target| *target != source) {
            let damaged = disk.fork(0);
            damaged.replace_file(target, &disk.file_bytes(source).unwrap());
            assert_eq!(judge(&damaged, &history), Outcome::Refused, "{source} as {target}");
        }
    }
}

#[test]
fn an_old_copy_of_a_segment_is_refused() {
    let disk = SimDisk::new(3);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(1, 1, 10)])).unwrap();
    log.flush().unwrap();
    let name = &disk.file_names()[0];
    let old = disk.file_bytes(name).unwrap();
    log.append(batch([command(2, 1, 10)])).unwrap();
    log.flush().unwrap();
    drop(log);
    drop(open(&disk).unwrap());

    disk.replace_file(name, &old);

    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt(_)), "{error}");
}

#[test]
fn a_damaged_payload_is_named_by_index_and_term() {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=3 {
        log.append(batch([command(n, 4, 100)])).unwrap();
        log.flush().unwrap();
    }
    drop(log);
    let name = &disk.file_names()[0];
    let payload = command(2, 4, 100).payload.to_bytes();
    let bytes = disk.file_bytes(name).unwrap();
    let at = bytes.windows(100).position(|window| window == payload).unwrap();

    disk.flip_bit(name, at as u64 + 50, 3);

    match open(&disk).map(|_| ()).unwrap_err() {
        OpenError::Corrupt(corruption) => {
            assert_eq!(corruption.entries, [(GROUP, id(2, 4))]);
            assert_eq!(corruption.batches, Some((3, 3)));
            assert!(corruption.path.ends_with(name));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn no_rotten_sector_loses_a_vote() {
    let disk = SimDisk::new(6);
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(5, 1)).unwrap();
    log.flush().unwrap();
    drop(log);
    let name = &disk.file_names()[0];
    let bytes = disk.file_bytes(name).unwrap();
    for at in interesting(&bytes).filter(|at| *at >= 4096) {
        let damaged = disk.fork(0);
        assert!(damaged.flip_bit(name, at as u64, 1));
        match open(&damaged) {
            Ok((_, recovered)) => {
                let expected = common::state(5, Some(1));
                assert_eq!(recovered.group(GROUP).hard_state, expected, "byte {at}");
            }
            Err(error) => assert!(matches!(error, OpenError::Corrupt(_)), "{error}"),
        }
    }
}

#[test]
fn a_spare_that_is_not_pristine_is_prepared_again() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    let spare = &disk.file_names()[1];
    let salt = |disk: &SimDisk| disk.file_bytes(spare).unwrap()[48..64].to_vec();
    let before = salt(&disk);
    disk.flip_bit(spare, 40_000, 0);

    let (_, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.generation, 2);
    assert_ne!(salt(&disk), before);
    assert_eq!(disk.file_bytes(spare).unwrap()[40_000], 0);
}

#[test]
fn a_payload_that_imitates_a_batch_is_not_taken_for_one() {
    let disk = SimDisk::new(8);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(1, 1, 64)])).unwrap();
    log.flush().unwrap();
    let name = &disk.file_names()[0];
    let genuine = disk.file_bytes(name).unwrap()[4096..4600].to_vec();
    let payload = raft_core::EntryPayload::Command(genuine.into());
    log.append(batch([raft_core::Entry { id: id(2, 1), payload: payload.clone() }])).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.kill_process();

    let (log, _) = open(&disk).unwrap();

    assert_eq!(common::all_entries(&log)[1].payload, payload);
    assert_eq!(log.hard_state(GROUP), HardState::default());
}
