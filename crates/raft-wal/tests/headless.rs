//! Segments whose first batch is damaged: what they are followed by says what they began with.

use proptest::prelude::*;
use raft_core::GroupId;
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Log, OnCorruption, OpenError, Options, Recovered};

use crate::common::world::steps;
use crate::common::{
    Model, Step, Submission, batch, command, entries_of, id, identity, options, state, submission,
    vote,
};

const GROUPS: usize = 3;

fn group(nth: usize) -> GroupId {
    GroupId::new(nth as u64 + 1).unwrap()
}

fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let on_corruption = OnCorruption::Report;
    Log::open(disk.clone(), identity(), Options { on_corruption, ..options() })
}

/// The segments that are closed, the oldest first.
fn sealed(disk: &SimDisk) -> Vec<String> {
    let names = disk.file_names().into_iter();
    let magic = *b"RWTR";
    let is_sealed = |name: &String| {
        let bytes = disk.file_bytes(name).unwrap();
        let trailer = bytes.len().checked_sub(4096);
        name.ends_with(".seg") && trailer.is_some_and(|at| bytes[at..].starts_with(&magic))
    };
    names.filter(is_sealed).collect()
}

/// What of the first batch is damaged.
#[derive(Clone, Copy)]
enum Part {
    /// The header, and with it all that the batch holds.
    Header,
    /// The payload of its first record, which is the checkpoint.
    Checkpoint,
}

fn behead(disk: &SimDisk, name: &str, part: Part) {
    let bytes = disk.file_bytes(name).unwrap();
    let records = u64::from(u16::from_le_bytes([bytes[4096 + 40], bytes[4096 + 41]]));
    let at = match part {
        Part::Header => 4,
        Part::Checkpoint => 64 + 32 * records + 8,
    };
    assert!(disk.flip_bit(name, 4096 + at, 1));
}

fn run(log: &mut Log<SimDisk>, model: &mut Model, group: GroupId, step: &Step) {
    match submission(model, step) {
        Some(Submission::Batch(batch)) => {
            let batch = Batch { group, ..batch };
            if log.append(batch.clone()).is_ok() {
                model.apply(&batch);
            }
        }
        Some(Submission::Compact(upto)) => {
            log.compact_prefix(group, upto).unwrap();
            model.compact(upto);
        }
        None => {}
    }
    log.flush().unwrap();
}

fn check(disk: &SimDisk, models: &[Model]) {
    let (log, recovered) = open(disk).unwrap();
    for (nth, model) in models.iter().enumerate() {
        assert_eq!(recovered.group(group(nth)), model.recovered());
        assert_eq!(entries_of(&log, group(nth)).unwrap(), model.entries);
    }
    log.close().unwrap();
}

#[test]
fn a_segment_whose_first_batch_is_damaged_is_not_left_as_the_oldest() {
    let disk = SimDisk::new(5);
    for n in 1..=6 {
        let (mut log, _) = open(&disk).unwrap();
        log.append(batch([command(n, 4, 100)])).unwrap();
        log.close().unwrap();
    }
    drop(open(&disk).unwrap());
    behead(&disk, &sealed(&disk)[1], Part::Checkpoint);
    behead(&disk, &sealed(&disk)[2], Part::Header);
    let (mut log, _) = open(&disk).unwrap();

    log.compact_prefix(group(0), id(1, 4)).unwrap();
    log.close().unwrap();

    let model = Model {
        base: id(1, 4),
        entries: (2..=6).map(|n| command(n, 4, 100)).collect(),
        ..Model::default()
    };
    check(&disk, &[model]);
}

/// The first group only votes in the segment that becomes the oldest, the second one writes, and the
/// third does nothing.
#[test]
fn an_oldest_segment_without_its_first_batch_says_where_each_group_was() {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    for group in (0..GROUPS).map(group) {
        let entries = [1, 2, 3].map(|n| command(n, 4, 100)).to_vec();
        log.append(Batch { group, ..batch(entries) }).unwrap();
    }
    log.close().unwrap();
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(5, 2)).unwrap();
    log.append(Batch { group: group(1), ..batch([command(4, 4, 100)]) }).unwrap();
    log.close().unwrap();
    let (mut log, _) = open(&disk).unwrap();
    for group in (0..GROUPS).map(group) {
        log.compact_prefix(group, id(3, 4)).unwrap();
    }
    log.close().unwrap();
    behead(&disk, &sealed(&disk)[0], Part::Header);

    let base = id(3, 4);
    let voted = Model { hard_state: state(5, Some(2)), base, entries: Vec::new() };
    let written = Model { base, entries: vec![command(4, 4, 100)], ..Model::default() };
    check(&disk, &[voted, written, Model { base, ..Model::default() }]);
}

#[test]
fn an_oldest_segment_without_its_first_batch_is_missed_if_it_is_deleted() {
    let disk = SimDisk::new(5);
    for n in 1..=4 {
        let (mut log, _) = open(&disk).unwrap();
        log.append(batch([command(n, 4, 100)])).unwrap();
        log.close().unwrap();
    }
    drop(open(&disk).unwrap());
    let names = sealed(&disk);
    behead(&disk, &names[1], Part::Checkpoint);
    assert!(disk.remove_file(&names[0]));

    let refused = open(&disk).map(drop);

    assert!(matches!(refused, Err(OpenError::MissingSegment { .. })), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn closed_segments_need_no_first_batch(
        lives in prop::collection::vec(prop::collection::vec((0..GROUPS, steps(3)), 0..4), 2..6),
        seed: u64,
        beheaded: u64,
    ) {
        let disk = SimDisk::new(seed);
        let mut models = vec![Model::default(); GROUPS];
        for life in &lives {
            let (mut log, _) = open(&disk).unwrap();
            for (nth, steps) in life {
                steps.iter().for_each(|step| run(&mut log, &mut models[*nth], group(*nth), step));
            }
            log.close().unwrap();
        }
        drop(open(&disk).unwrap());
        for (nth, name) in sealed(&disk).iter().enumerate() {
            if name.ends_with("01.seg") || beheaded >> (nth % 64) & 1 == 1 {
                behead(&disk, name, Part::Checkpoint);
            }
        }
        check(&disk, &models);
        check(&disk, &models);
    }
}
