//! A damaged log that is opened all the same: what is lost is named, what is not named is right, and
//! what is repaired stays repaired.

use std::collections::BTreeMap;

use raft_core::{Entry, LogIndex, Term};
use raft_wal::sim::SimDisk;
use raft_wal::{
    AppendError, Batch, Faulty, Log, OnCorruption, OpenError, Options, ReadError, Recovered, Tail,
    Verify,
};

use crate::common::{
    GROUP, Model, all_entries, batch, command, id, identity, index, membership, options, vote,
};

fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let on_corruption = OnCorruption::Report;
    Log::open(disk.clone(), identity(), Options { on_corruption, ..options() })
}

fn write(log: &mut Log<SimDisk>, model: &mut Model, batch: Batch) {
    model.apply(&batch);
    log.append(batch).unwrap();
    log.flush().unwrap();
}

/// A log in one or three segments, the last of which was being written to when the process died; and
/// what was acknowledged, without and with the last flight.
fn sample(segments: u32) -> (SimDisk, [Model; 2]) {
    let reopen = |disk: &SimDisk, log: Log<SimDisk>| {
        if segments == 1 {
            return log;
        }
        drop(log);
        open(disk).unwrap().0
    };
    let disk = SimDisk::new(11);
    let mut model = Model::default();
    let (mut log, _) = open(&disk).unwrap();
    write(&mut log, &mut model, vote(1, 2));
    write(&mut log, &mut model, batch([membership(1, 1), command(2, 1, 40)]));
    write(&mut log, &mut model, batch([command(3, 1, 0)]));
    let mut log = reopen(&disk, log);
    write(&mut log, &mut model, batch([command(4, 1, 100), command(5, 1, 9)]));
    let truncate_from = Some(index(5));
    write(&mut log, &mut model, Batch { truncate_from, ..batch([command(5, 2, 30)]) });
    let mut log = reopen(&disk, log);
    write(&mut log, &mut model, vote(3, 1));
    write(&mut log, &mut model, batch([command(6, 3, 700)]));
    write(&mut log, &mut model, batch([command(7, 3, 50), command(8, 3, 2)]));
    let before = model.clone();
    write(&mut log, &mut model, batch([command(9, 4, 20)]));
    drop(log);
    disk.kill_process();
    (disk, [before, model])
}

/// What became of a damaged log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    Refused,
    Whole,
    /// Entries are lost, and named.
    Named,
    /// And how many there were behind the last one is not known.
    EndInDoubt,
    /// The newest write is gone, and that is reported.
    LastFlightLost,
    /// More than that, and that is reported.
    MoreLost,
}

fn is_named(faulty: &[Faulty], entry: &Entry) -> bool {
    let index = entry.id.index;
    faulty.iter().any(|faulty| {
        let is_within = faulty.first <= index && faulty.last.is_none_or(|last| index <= last);
        is_within && faulty.term.is_none_or(|term| term == entry.id.term)
    })
}

fn read(log: &Log<SimDisk>, index: LogIndex) -> Result<Entry, ReadError> {
    log.entries(GROUP, index..=index, 1).map(|entries| entries[0].clone())
}

/// Opens a damaged log, checks that it tells the truth, repairs it, and checks that it is whole.
fn judge(disk: &SimDisk, [before, newest]: &[Model; 2], verify: Verify) -> Outcome {
    let options = Options { on_corruption: OnCorruption::Report, verify, ..options() };
    let opened = Log::open(disk.clone(), identity(), options.clone());
    let Ok((mut log, recovered)) = opened else { return Outcome::Refused };
    let group = recovered.group(GROUP);
    let mut repairs = Vec::new();
    let mut missing = Vec::new();
    let mut more_lost = false;
    for entry in &newest.entries {
        let named = is_named(&group.faulty, entry);
        match read(&log, entry.id.index) {
            Ok(found) => assert!(found == *entry && !named, "{found:?}"),
            Err(ReadError::Faulty { .. }) => {
                assert!(named, "{:?} in {:?}", entry.id, group.faulty);
                repairs.push(entry.clone());
            }
            Err(ReadError::Corrupt(_)) => {
                assert_eq!(verify, Verify::Seals);
                repairs.push(entry.clone());
            }
            Err(ReadError::Beyond { .. }) => {
                assert!(named || recovered.tail != Tail::Clean);
                more_lost |= !named && entry.id.index <= before.last().index;
                missing.push(entry.clone());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(group.last.index <= newest.last().index);
    let is_in_doubt = group.faulty.last().is_some_and(|faulty| faulty.last.is_none());
    assert_eq!(group.hard_state, newest.hard_state);
    let outcome = match (repairs.is_empty(), missing.is_empty()) {
        _ if is_in_doubt => Outcome::EndInDoubt,
        (_, false) if more_lost => Outcome::MoreLost,
        (_, false) => Outcome::LastFlightLost,
        (true, true) => Outcome::Whole,
        (false, true) => Outcome::Named,
    };
    // A crash before the repair forgets nothing of what is lost, however many threads look for it.
    let again = disk.fork(1);
    again.lose_power();
    again.set_readers(4);
    let (_, recovered) = Log::open(again, identity(), options).unwrap();
    assert_eq!(recovered.group(GROUP), group);

    let truncate_from = is_in_doubt.then(|| group.last.index.next());
    log.append(Batch { truncate_from, settles_doubt: true, repairs, ..batch(missing) }).unwrap();
    log.flush().unwrap();
    assert_eq!(all_entries(&log), newest.entries);
    drop(log);
    disk.lose_power();
    for _ in 0..3 {
        let (log, recovered) = open(disk).unwrap();
        assert_eq!(recovered.group(GROUP), newest.recovered());
        assert_eq!(all_entries(&log), newest.entries);
    }
    outcome
}

/// Damages a copy of each sample in each way and judges what becomes of it.
fn judge_all(
    damages: impl Fn(&str, &[u8]) -> Vec<Box<dyn Fn(&SimDisk)>>,
) -> BTreeMap<Outcome, u32> {
    let mut outcomes = BTreeMap::new();
    for segments in [1, 3] {
        let (disk, models) = sample(segments);
        for name in disk.file_names() {
            let damages = damages(&name, &disk.file_bytes(&name).unwrap());
            for (nth, damage) in damages.iter().enumerate() {
                let verify = if nth % 3 == 0 { Verify::Seals } else { Verify::Everything };
                let damaged = disk.fork(0);
                damage(&damaged);
                *outcomes.entry(judge(&damaged, &models, verify)).or_default() += 1;
            }
        }
    }
    outcomes
}

#[test]
fn every_flipped_bit_of_a_batch_costs_at_most_what_is_named() {
    let outcomes = judge_all(|name, bytes| {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let places = (4096..used).filter(|at| bytes[*at] != 0 || at % 509 == 0);
        let flip = |at: usize| -> Box<dyn Fn(&SimDisk)> {
            let name = name.to_owned();
            Box::new(move |disk| assert!(disk.flip_bit(&name, at as u64, (at % 8) as u32)))
        };
        places.map(flip).collect()
    });

    assert!(!outcomes.contains_key(&Outcome::MoreLost), "{outcomes:?}");
    // Refused: the head of a segment that is not sealed, and the one truncation.
    assert!(outcomes[&Outcome::Refused] * 4 < outcomes[&Outcome::Named], "{outcomes:?}");
}

#[test]
fn every_zeroed_sector_costs_at_most_what_is_named() {
    let outcomes = judge_all(|name, bytes| {
        let zero = |(at, len): (usize, u64)| -> Box<dyn Fn(&SimDisk)> {
            let name = name.to_owned();
            Box::new(move |disk| assert!(disk.zero_range(&name, at as u64, len)))
        };
        let sectors = (4096..bytes.len().min(24 << 10)).step_by(512).map(|at| (at, 512));
        let shifted = (4096..bytes.len().min(24 << 10)).step_by(72).map(|at| (at, 70));
        sectors.chain(shifted).map(zero).collect()
    });

    assert!(outcomes.contains_key(&Outcome::Named), "{outcomes:?}");
}

/// A log of `count` entries, each in a batch of its own, with an idle marker at the end.
fn marked(count: u64) -> SimDisk {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=count {
        log.append(batch([command(n, 4, 100)])).unwrap();
        log.flush().unwrap();
    }
    log.mark_idle().unwrap();
    drop(log);
    disk.kill_process();
    disk
}

const FIRST: &str = "00000000000000000001.seg";

/// Where the payload of such an entry stands; its batch's header is 96 bytes before.
fn payload_at(disk: &SimDisk, index: u64) -> u64 {
    let payload = command(index, 4, 100).payload.to_bytes();
    let bytes = disk.file_bytes(FIRST).unwrap();
    bytes.windows(100).position(|window| window == payload).unwrap() as u64
}

fn faulty(first: u64, last: Option<u64>, term: Option<u64>) -> Faulty {
    Faulty { first: index(first), last: last.map(index), term: term.map(Term::new) }
}

#[test]
fn a_damaged_payload_is_faulty_with_its_term_and_ends_a_read_before_it() {
    let disk = marked(5);
    disk.flip_bit(FIRST, payload_at(&disk, 3), 1);

    let (log, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.group(GROUP).faulty, [faulty(3, Some(3), Some(4))]);
    assert_eq!(recovered.group(GROUP).last, id(5, 4));
    let read = log.entries(GROUP, index(1)..=index(5), usize::MAX).unwrap();
    assert_eq!(read, [command(1, 4, 100), command(2, 4, 100)]);
    assert_eq!(log.entries(GROUP, index(4)..=index(5), usize::MAX).unwrap().len(), 2);
    let error = log.entries(GROUP, index(3)..=index(5), usize::MAX).unwrap_err();
    let term = Some(Term::new(4));
    assert!(
        matches!(error, ReadError::Faulty { index: at, term: t } if at == index(3) && t == term)
    );
}

#[test]
fn what_is_damaged_and_no_longer_part_of_the_log_is_no_loss() {
    let disk = marked(5);
    let damaged = [payload_at(&disk, 2), payload_at(&disk, 5)];
    let (mut log, _) = open(&disk).unwrap();
    let truncate_from = Some(index(5));
    log.append(Batch { truncate_from, ..batch([command(5, 6, 100)]) }).unwrap();
    log.compact_prefix(GROUP, id(2, 4)).unwrap();
    log.flush().unwrap();
    drop(log);
    let expected = [command(3, 4, 100), command(4, 4, 100), command(5, 6, 100)];

    for at in damaged {
        disk.flip_bit(FIRST, at, 1);
    }

    for readers in [1, 2, 8] {
        disk.kill_process();
        disk.set_readers(readers);
        let (log, recovered) = crate::common::open(&disk).unwrap();
        assert!(recovered.damage.is_empty(), "{readers} readers: {:?}", recovered.damage);
        assert_eq!(all_entries(&log), expected);
    }
    disk.kill_process();
    disk.flip_bit(FIRST, payload_at(&disk, 3), 1);
    assert!(matches!(crate::common::open(&disk), Err(OpenError::Corrupt(_))));
}

#[test]
fn an_open_says_how_far_it_has_come() {
    let disk = marked(5);
    for readers in [1, 4] {
        drop(open(&disk).unwrap());
        disk.kill_process();
        disk.set_readers(readers);
        let mut told = Vec::new();

        let tell = |at| told.push(at);
        let opened = Log::open_with_progress(disk.clone(), identity(), options(), tell);

        drop(opened.unwrap());
        let last = told.pop().unwrap();
        assert_eq!(last.done, last.total);
        assert!(told.len() > 1, "{told:?}");
        assert!(told.is_sorted_by_key(|at| at.done));
        assert!(told.iter().all(|at| at.total == last.total));
    }
}

#[test]
fn lost_batches_between_others_of_one_term_are_named_with_it() {
    let disk = marked(5);
    disk.zero_range(FIRST, payload_at(&disk, 2) - 96, 300);

    let (_, recovered) = open(&disk).unwrap();

    assert_eq!(recovered.group(GROUP).faulty, [faulty(2, Some(3), Some(4))]);
}

#[test]
fn a_lost_end_is_in_doubt_until_somebody_with_authority_says_what_it_is() {
    let disk = marked(3);
    disk.flip_bit(FIRST, payload_at(&disk, 3) - 96, 1);

    for _ in 0..3 {
        let (_, recovered) = open(&disk).unwrap();
        assert_eq!(recovered.group(GROUP).last, id(2, 4));
        assert_eq!(recovered.group(GROUP).faulty, [faulty(3, None, None)]);
    }
    let (mut log, _) = open(&disk).unwrap();
    log.drop_faulty_from(GROUP, index(3)).unwrap();
    log.append(batch([command(3, 5, 1)])).unwrap();
    log.flush().unwrap();
    drop(log);

    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).faulty, []);
    assert_eq!(all_entries(&log).len(), 3);
}

/// The batch that gives a group its slot is the only one that speaks of it, but for the copy of its
/// vote, until a later one says that both were durable.
#[test]
fn lost_entries_of_the_batch_that_begins_a_group_are_missed() {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    let first = batch([command(1, 4, 100), command(2, 4, 30)]);
    log.append(Batch { hard_state: vote(4, 1).hard_state, ..first }).unwrap();
    log.flush().unwrap();
    let header = payload_at(&disk, 1) - 96;
    log.append(vote(5, 2)).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.kill_process();

    for offset in header.saturating_sub(96)..payload_at(&disk, 1) {
        let damaged = disk.fork(0);
        damaged.flip_bit(FIRST, offset, 1);
        let Ok((log, recovered)) = open(&damaged) else { continue };

        let group = recovered.group(GROUP);
        assert_eq!(group.hard_state, vote(5, 2).hard_state.unwrap());
        for entry in [command(1, 4, 100), command(2, 4, 30)] {
            let is_there = read(&log, entry.id.index).is_ok_and(|found| found == entry);
            assert!(is_there || is_named(&group.faulty, &entry), "{offset}: {group:?}");
        }
    }
}

#[test]
fn a_truncation_that_may_be_lost_is_refused() {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch((1..=3).map(|n| command(n, 4, 100)))).unwrap();
    log.flush().unwrap();
    let end = disk.file_bytes(FIRST).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    log.append(Batch { truncate_from: Some(index(2)), ..batch([command(2, 5, 9)]) }).unwrap();
    log.flush().unwrap();
    log.append(batch([command(3, 5, 9)])).unwrap();
    log.flush().unwrap();
    log.close().unwrap();
    for at in (end + 8..end + 110).step_by(8) {
        let damaged = disk.fork(0);
        damaged.zero_range(FIRST, at, 8);
        if let Ok((log, _)) = open(&damaged) {
            assert_eq!(log.term(GROUP, index(2)), Some(Term::new(5)), "{at}");
        }
    }
    let damaged = disk.fork(0);
    damaged.zero_range(FIRST, end, 80);
    assert!(matches!(open(&damaged), Err(OpenError::Corrupt(_))));
}

#[test]
fn a_vote_that_may_be_lost_is_refused_unless_a_later_one_is_there() {
    for later in [false, true] {
        let disk = SimDisk::new(5);
        let (mut log, _) = open(&disk).unwrap();
        log.append(batch([command(1, 4, 100)])).unwrap();
        log.flush().unwrap();
        log.append(vote(5, 2)).unwrap();
        log.flush().unwrap();
        if later {
            log.append(vote(6, 3)).unwrap();
        }
        log.append(batch([command(2, 6, 100)])).unwrap();
        log.close().unwrap();
        let one = disk.fork(0);
        // Its batch fills the rest of its block, and what repeats it begins the next one.
        one.zero_range(FIRST, 4456, 8192 - 4456);
        assert_eq!(open(&one).unwrap().1.group(GROUP).hard_state.term.get(), 5 + u64::from(later));

        disk.zero_range(FIRST, 4456, 8192 + 64 - 4456);

        assert_eq!(open(&disk).is_ok(), later);
    }
}

#[test]
fn a_repair_must_be_the_entry_that_it_stands_for() {
    let disk = marked(5);
    disk.flip_bit(FIRST, payload_at(&disk, 3), 1);
    let (mut log, _) = open(&disk).unwrap();
    for (at, term) in [(3, 3), (3, 5), (6, 4), (0, 0)] {
        let repairs = vec![command(at, term, 100)];
        let refused = log.append(Batch { repairs, ..Batch::new(GROUP) });
        assert!(matches!(refused, Err(AppendError::OtherEntry { .. })), "{at} {term}");
    }

    let repairs = vec![command(3, 4, 100)];
    log.append(Batch { repairs, ..Batch::new(GROUP) }).unwrap();

    assert!(log.entries(GROUP, index(3)..=index(3), 1).is_err(), "it is not durable yet");
    log.flush().unwrap();
    assert_eq!(all_entries(&log).len(), 5);
}

#[test]
fn terms_of_lost_entries_are_learned_with_their_repair() {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    let entries = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 5)].map(|(n, term)| command(n, term, 100));
    for entry in &entries {
        log.append(batch([entry.clone()])).unwrap();
        log.flush().unwrap();
    }
    log.close().unwrap();
    let payload = entries[1].payload.to_bytes();
    let bytes = disk.file_bytes(FIRST).unwrap();
    let at = bytes.windows(100).position(|window| window == payload).unwrap() as u64;
    disk.zero_range(FIRST, at - 96, 500);
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).faulty, [faulty(2, Some(4), None)]);
    assert_eq!(log.term(GROUP, index(3)), None);

    for nth in [2, 3, 1] {
        let repairs = vec![entries[nth].clone()];
        log.append(Batch { repairs, ..Batch::new(GROUP) }).unwrap();
        log.flush().unwrap();
        drop(log);
        log = open(&disk).unwrap().0;
        assert_eq!(log.term(GROUP, entries[nth].id.index), Some(entries[nth].id.term));
    }

    assert_eq!(all_entries(&log), entries);
    let terms = open_terms(&disk, log);
    assert_eq!(terms, [id(1, 1), id(2, 2), id(4, 3), id(5, 5)]);
}

fn open_terms(disk: &SimDisk, log: Log<SimDisk>) -> Vec<raft_core::LogId> {
    drop(log);
    open(disk).unwrap().1.group(GROUP).term_starts
}

#[test]
fn a_repair_survives_compaction_truncation_sealing_and_a_second_repair() {
    let disk = marked(6);
    disk.flip_bit(FIRST, payload_at(&disk, 3), 1);
    disk.flip_bit(FIRST, payload_at(&disk, 5), 1);
    let (mut log, _) = open(&disk).unwrap();
    let repairs = vec![command(3, 4, 100), command(5, 4, 100)];
    log.append(Batch { repairs, ..Batch::new(GROUP) }).unwrap();
    log.compact_prefix(GROUP, id(2, 4)).unwrap();
    log.flush().unwrap();
    log.append(Batch { truncate_from: Some(index(5)), ..batch([command(5, 6, 7)]) }).unwrap();
    log.close().unwrap();
    let expected = [command(3, 4, 100), command(4, 4, 100), command(5, 6, 7)];
    for _ in 0..2 {
        assert_eq!(all_entries(&open(&disk).unwrap().0), expected);
    }

    let second = &disk.file_names()[1];
    let bytes = disk.file_bytes(second).unwrap();
    let payload = expected[0].payload.to_bytes();
    let at = bytes.windows(100).position(|window| window == payload).unwrap();
    disk.flip_bit(second, at as u64, 1);

    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).faulty, [faulty(3, Some(3), Some(4))]);
    let repairs = vec![expected[0].clone()];
    log.append(Batch { repairs, ..Batch::new(GROUP) }).unwrap();
    log.close().unwrap();
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).faulty, []);
    assert_eq!(all_entries(&log), expected);
    log.compact_prefix(GROUP, id(5, 6)).unwrap();
    log.close().unwrap();
    drop(open(&disk).unwrap());
    assert!(disk.file_bytes(FIRST).is_none(), "nothing of the damaged segment is needed");
}

#[test]
fn a_crash_at_any_call_of_a_repair_leaves_the_entry_faulty_or_repaired() {
    let whole = marked(4);
    whole.flip_bit(FIRST, payload_at(&whole, 2), 1);
    let entries: Vec<_> = (1..=4).map(|n| command(n, 4, 100)).collect();
    let repair = |disk: &SimDisk| -> bool {
        let Ok((mut log, _)) = open(disk) else { return false };
        let repairs = vec![entries[1].clone()];
        let repaired = log.append(Batch { repairs, ..Batch::new(GROUP) }).is_ok();
        repaired && log.flush().is_ok()
    };
    let before = whole.calls();
    let healthy = whole.fork(1);
    assert!(repair(&healthy));
    for number in before + 1..=healthy.calls() {
        for power in [false, true] {
            let disk = whole.fork(number);
            disk.crash_at_call(number);
            let acknowledged = repair(&disk);
            if power {
                disk.lose_power()
            } else {
                disk.kill_process()
            }
            let (log, recovered) = open(&disk).unwrap();
            match recovered.group(GROUP).faulty.as_slice() {
                [] => assert_eq!(all_entries(&log), entries),
                found => {
                    assert!(!acknowledged);
                    assert_eq!(found, [faulty(2, Some(2), Some(4))]);
                }
            }
        }
    }
}

#[test]
fn a_repair_of_an_entry_whose_segment_was_deleted_says_nothing_against_the_log() {
    for is_sealed in [false, true] {
        let disk = marked(5);
        disk.flip_bit(FIRST, payload_at(&disk, 3), 1);
        let (mut log, _) = open(&disk).unwrap();
        let repairs = vec![command(3, 4, 100)];
        log.append(Batch { repairs, ..batch([command(6, 4, 100)]) }).unwrap();
        log.flush().unwrap();
        if is_sealed {
            drop(log);
            log = open(&disk).unwrap().0;
            log.append(batch([command(7, 4, 100)])).unwrap();
        }
        log.compact_prefix(GROUP, id(5, 4)).unwrap();
        log.flush().unwrap();
        drop(log);
        assert!(disk.file_bytes(FIRST).is_none());

        for _ in 0..2 {
            let (log, recovered) = open(&disk).unwrap();
            assert_eq!(recovered.group(GROUP).base, id(5, 4));
            assert_eq!(recovered.group(GROUP).faulty, []);
            assert_eq!(all_entries(&log)[0], command(6, 4, 100));
        }
    }
}

#[test]
fn a_lost_end_of_a_segment_is_sealed_with_what_the_next_one_says_of_it() {
    for compacted in [0, 2, 5] {
        let disk = marked(5);
        let (mut log, _) = open(&disk).unwrap();
        log.append(batch([command(6, 4, 100), command(7, 4, 100)])).unwrap();
        log.flush().unwrap();
        let second = disk.file_names()[1].clone();
        let at = written(&disk, &second);
        log.append(batch([command(8, 4, 100), command(9, 4, 100)])).unwrap();
        log.flush().unwrap();
        if compacted > 0 {
            log.compact_prefix(GROUP, id(4 + compacted, 4)).unwrap();
            log.append(batch([command(10, 4, 100)])).unwrap();
            log.flush().unwrap();
        }
        drop(log);
        let (_, before) = open(&disk).unwrap();
        // As if the process had ended before it sealed the segment, and its end were damaged.
        disk.zero_range(&second, at, written(&disk, &second) - at);

        for _ in 0..3 {
            let (log, recovered) = open(&disk).unwrap();
            let group = recovered.group(GROUP);
            assert_eq!(
                (group.base, group.last),
                (before.group(GROUP).base, before.group(GROUP).last)
            );
            let last = group.last.index.get();
            assert_eq!(group.faulty, [faulty(8.max(5 + compacted), Some(last), Some(4))]);
            for n in (5 + compacted)..8 {
                assert_eq!(read(&log, index(n)).unwrap(), command(n, 4, 100));
            }
        }
    }
}

/// How much of a file has been written to.
fn written(disk: &SimDisk, name: &str) -> u64 {
    disk.file_bytes(name).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

/// Four entries, of which two between the others are lost: not even their terms are known.
fn two_of_unknown_terms() -> (SimDisk, Log<SimDisk>) {
    let disk = SimDisk::new(5);
    let (mut log, _) = open(&disk).unwrap();
    let entries = [(1, 1), (2, 2), (3, 3), (4, 4)].map(|(n, term)| command(n, term, 100));
    for entry in &entries {
        log.append(batch([entry.clone()])).unwrap();
        log.flush().unwrap();
    }
    log.close().unwrap();
    let first = payload_of(&disk, &entries[1]);
    let last = payload_of(&disk, &entries[2]);
    disk.zero_range(FIRST, first - 96, last - first + 96);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.group(GROUP).faulty, [faulty(2, Some(3), None)]);
    (disk, log)
}

fn payload_of(disk: &SimDisk, entry: &Entry) -> u64 {
    let payload = entry.payload.to_bytes();
    let bytes = disk.file_bytes(FIRST).unwrap();
    bytes.windows(payload.len()).position(|window| window == payload).unwrap() as u64
}

#[test]
fn repairs_and_entries_of_one_batch_must_fit_each_other() {
    let (_, mut log) = two_of_unknown_terms();
    let repairs = vec![command(2, 3, 100), command(3, 2, 100)];
    let refused = log.append(Batch { repairs, ..Batch::new(GROUP) });
    assert!(matches!(refused, Err(AppendError::OtherEntry { .. })), "{refused:?}");

    let (repairs, truncate_from) = (vec![command(3, 4, 100)], Some(index(4)));
    let refused = log.append(Batch { repairs, truncate_from, ..batch([command(4, 3, 100)]) });
    assert!(matches!(refused, Err(AppendError::TermFalls { .. })), "{refused:?}");

    let repairs = vec![command(2, 2, 100), command(3, 3, 100)];
    log.append(Batch { repairs, ..Batch::new(GROUP) }).unwrap();
    log.flush().unwrap();
    assert_eq!(all_entries(&log).len(), 4);
}

#[test]
fn a_repair_must_fit_those_that_wait_to_be_written() {
    let (disk, mut log) = two_of_unknown_terms();
    log.append(Batch { repairs: vec![command(2, 3, 100)], ..Batch::new(GROUP) }).unwrap();

    let refused = log.append(Batch { repairs: vec![command(3, 2, 100)], ..Batch::new(GROUP) });

    assert!(matches!(refused, Err(AppendError::OtherEntry { .. })), "{refused:?}");
    let waits = log.entries(GROUP, index(2)..=index(2), 1);
    assert!(matches!(waits, Err(ReadError::Faulty { .. })), "{waits:?}");
    log.flush().unwrap();
    drop(log);
    assert_eq!(open(&disk).unwrap().1.group(GROUP).faulty, [faulty(3, Some(3), None)]);
}
