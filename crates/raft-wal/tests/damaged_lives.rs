//! Many lives of a log that is damaged again and again, and repaired: what was opened once opens
//! again.

use proptest::prelude::*;
use raft_core::Entry;
use raft_wal::sim::SimDisk;
use raft_wal::{
    Batch, Log, OnCorruption, OpenError, Options, ReadError, Recovered, RecoveredGroup,
};

use crate::common::world::steps;
use crate::common::{GROUP, Model, Step, Submission, identity, options, submission};

/// Where the batches of a segment begin.
const BODY: u64 = 4096;

fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let on_corruption = OnCorruption::Report;
    Log::open(disk.clone(), identity(), Options { on_corruption, ..options() })
}

/// Where bytes are damaged: in which file and how far into it, in parts of 65,536; how many, or one
/// bit if none.
type Damage = (u16, u16, u16);

/// What happens between two opens.
#[derive(Clone, Debug)]
struct Life {
    damages: Vec<Damage>,
    /// Which of eight lost entries are repaired.
    repaired: u8,
    steps: Vec<Step>,
    loses_power: bool,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let len = prop_oneof![Just(0u16), 1u16..600, 600u16..9000];
    let damages = prop::collection::vec((any::<u16>(), any::<u16>(), len), 0..4);
    let repaired = prop_oneof![Just(0xff), any::<u8>()];
    let life = (damages, repaired, steps(12), any::<bool>());
    let life = life.prop_map(|(damages, repaired, steps, loses_power)| Life {
        damages,
        repaired,
        steps,
        loses_power,
    });
    prop::collection::vec(life, 2..8)
}

fn damage(disk: &SimDisk, (file, place, len): Damage) {
    let names: Vec<_> = disk.file_names().into_iter().filter(|n| n.ends_with(".seg")).collect();
    if names.is_empty() {
        return;
    }
    let name = &names[(usize::from(file) * names.len()) >> 16];
    let bytes = disk.file_bytes(name).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
    if used <= BODY {
        return;
    }
    let at = BODY + (((used - BODY) * u64::from(place)) >> 16);
    if len == 0 {
        disk.flip_bit(name, at, u32::from(place % 8));
    } else {
        disk.zero_range(name, at, u64::from(len).min(used - at));
    }
}

/// Makes the log what it was, except for the lost entries that `repaired` leaves out. `None` if it
/// no longer can be.
fn restore(
    log: &mut Log<SimDisk>,
    group: &RecoveredGroup,
    model: &Model,
    repaired: u8,
) -> Option<()> {
    if group.base.index < model.base.index {
        log.compact_prefix(GROUP, model.base).ok()?;
        log.flush().unwrap();
    }
    let mut batch = Batch { settles_doubt: true, ..Batch::new(GROUP) };
    batch.hard_state = (group.hard_state != model.hard_state).then_some(model.hard_state);
    for entry in &model.entries {
        let term = log.term(GROUP, entry.id.index);
        let is_there = entry.id.index <= log.last_index(GROUP);
        if !batch.entries.is_empty() || !is_there || term.is_some_and(|term| term != entry.id.term)
        {
            batch.truncate_from.get_or_insert(entry.id.index);
            batch.entries.push(entry.clone());
        } else if read(log, entry).is_none() && repaired >> (entry.id.index.get() % 8) & 1 == 1 {
            batch.repairs.push(entry.clone());
        }
    }
    batch.truncate_from.get_or_insert_with(|| model.last().index.next());
    log.append(batch).ok()?;
    log.flush().unwrap();
    Some(())
}

/// The entry, if it is not lost.
fn read(log: &Log<SimDisk>, entry: &Entry) -> Option<Entry> {
    let at = entry.id.index;
    match log.entries(GROUP, at..=at, 1) {
        Ok(found) => Some(found[0].clone()),
        Err(ReadError::Faulty { .. }) => None,
        Err(error) => panic!("{at}: {error}"),
    }
}

/// Checks that the log is as it should be, but for entries that it names; returns how many.
fn check(log: &Log<SimDisk>, group: &RecoveredGroup, model: &Model) -> usize {
    assert_eq!(group.hard_state, model.hard_state);
    assert_eq!(group.base, model.base);
    assert_eq!(group.last.index, model.last().index);
    let is_within = |at| model.base.index < at && at <= model.last().index;
    assert!(group.faulty.iter().all(|f| is_within(f.first) && f.last.is_some_and(is_within)));
    let is_lost = |entry: &&Entry| match read(log, entry) {
        Some(found) => {
            assert_eq!(found, **entry);
            false
        }
        None => true,
    };
    model.entries.iter().filter(is_lost).count()
}

fn run(log: &mut Log<SimDisk>, model: &mut Model, steps: &[Step]) {
    for step in steps {
        match (submission(model, step), step) {
            (Some(Submission::Batch(batch)), _) => {
                if log.append(batch.clone()).is_ok() {
                    model.apply(&batch);
                }
            }
            (Some(Submission::Compact(upto)), _) => {
                log.compact_prefix(GROUP, upto).unwrap();
                model.compact(upto);
            }
            (None, Step::Idle) => log.mark_idle().unwrap(),
            (None, _) => {}
        }
        log.flush().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_that_was_opened_and_repaired_opens_again(lives in lives(), seed: u64) {
        let mut disk = SimDisk::new(seed);
        let mut model = Model::default();
        for life in &lives {
            let whole = disk.fork(seed);
            life.damages.iter().for_each(|at| damage(&disk, *at));
            if open(&disk).is_err() {
                disk = whole;
            }
            let (mut log, recovered) = open(&disk).unwrap();
            let group = recovered.group(GROUP);
            if restore(&mut log, &group, &model, life.repaired).is_none() {
                return Ok(());
            }
            drop(log);
            let mut lost = None;
            for _ in 0..2 {
                let (log, recovered) = open(&disk).unwrap();
                let found = check(&log, &recovered.group(GROUP), &model);
                assert_eq!(*lost.get_or_insert(found), found);
            }
            let (mut log, _) = open(&disk).unwrap();
            run(&mut log, &mut model, &life.steps);
            drop(log);
            if life.loses_power { disk.lose_power() } else { disk.kill_process() }
        }
    }
}
