//! The decision table of `docs/wal-format.md`, row by row, against what an open concludes from every
//! combination of what may stand at the end of a log.

use raft_core::{EntryKind, GroupId, LogId, LogIndex, Term};

use super::tests::{SEGMENT, forge_at_end, open};
use crate::disk::{Disk as _, DiskFile as _, DiskFileExt as _};
use crate::error::OpenError;
use crate::format::batch::BatchHeader;
use crate::format::encode::{End, Stamp, encode_batch};
use crate::format::record::{Record, kind};
use crate::recovered::{Tail, TailPosition};
use crate::sim::SimDisk;

const DOCUMENT: &str = include_str!("../../../../docs/wal-format.md");
const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const ENTRIES: u64 = 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Good,
    Bad,
    Absent,
}

const STATES: [State; 3] = [State::Good, State::Bad, State::Absent];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decision {
    Kept,
    Corrupt,
    Torn,
    Ambiguous,
    End,
}

/// A row: what must be found of header, body, commit record and what follows, `None` for anything.
struct Row {
    found: [Option<State>; 4],
    decision: Decision,
}

/// The rows between the table's head and the line behind it.
fn document() -> Vec<Row> {
    let head = "| Header | Body | Commit record | What follows | Decision |";
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [header, body, commit, follows, decision] = cells[..] else { panic!("{line}") };
    let found = [header, body, commit, follows].map(|cell| match cell {
        "good" => Some(State::Good),
        "bad" => Some(State::Bad),
        "absent" => Some(State::Absent),
        "any" => None,
        _ => panic!("{line}"),
    });
    let decision = match decision.split_whitespace().next() {
        Some("kept") => Decision::Kept,
        Some("corrupt") => Decision::Corrupt,
        Some("torn") => Decision::Torn,
        Some("ambiguous") => Decision::Ambiguous,
        Some("end") => Decision::End,
        _ => panic!("{line}"),
    };
    Row { found, decision }
}

fn due(rows: &[Row], found: [State; 4]) -> Decision {
    let is_match = |row: &&Row| row.found.iter().zip(found).all(|(r, f)| r.is_none_or(|r| r == f));
    rows.iter().find(is_match).expect("the table covers everything").decision
}

#[test]
fn every_combination_is_decided_as_the_document_says() {
    let rows = document();
    let mut used = vec![false; rows.len()];
    for number in 0..81 {
        let digit = |place: usize| STATES[number / 3usize.pow(u32::try_from(place).unwrap()) % 3];
        let found = [digit(0), digit(1), digit(2), digit(3)];
        let decision = due(&rows, found);
        let nth = rows
            .iter()
            .position(|row| row.found.iter().zip(found).all(|(r, f)| r.is_none_or(|r| r == f)));
        used[nth.unwrap()] = true;
        for is_marked in [false, true] {
            let concluded = conclude(&disk_with(found, is_marked));
            let expected = match (decision, is_marked) {
                (Decision::End, false) => "ambiguous 0",
                (Decision::End, true) => "clean",
                (Decision::Kept, _) => "kept",
                (Decision::Corrupt, _) => "corrupt",
                (Decision::Torn, _) => "torn",
                (Decision::Ambiguous, _) => "ambiguous",
            };
            assert_eq!(concluded, expected, "{found:?}, behind a marker: {is_marked}");
        }
    }
    assert!(used.iter().all(|used| *used), "a row that never applies");
}

fn conclude(disk: &SimDisk) -> &'static str {
    match open(disk) {
        Err(OpenError::Corrupt(_)) => "corrupt",
        Err(error) => panic!("{error}"),
        Ok((_, recovered)) => {
            let last = recovered.group(GroupId::FIRST).last.index.get();
            match recovered.tail {
                _ if last == 1 + ENTRIES => "kept",
                Tail::Clean => "clean",
                Tail::Torn(_) => "torn",
                Tail::Ambiguous(TailPosition { bytes: 0, .. }) => "ambiguous 0",
                Tail::Ambiguous(_) => "ambiguous",
            }
        }
    }
}

/// A log whose next batch was to hold entries 2 to 21, in the first sectors of a block; in the block
/// behind is a record that this batch is durable, and in the third one that says nothing of it.
fn disk_with([header, body, commit, follows]: [State; 4], is_marked: bool) -> SimDisk {
    forge_at_end(|stamp| {
        let mut bytes = Vec::new();
        let filler = if is_marked { kind::MARKER } else { kind::SKIPPABLE };
        let before = batch(&mut bytes, &[Record::bare(filler, 0, 0, 0)], stamp, stamp.durable_seq);
        let start = bytes.len();
        let entries: Vec<_> = (2..2 + ENTRIES).map(entry).collect();
        let missing = batch(&mut bytes, &entries, next(stamp, &before), before.seq);
        let marker = [Record::bare(kind::MARKER, 0, 0, 0)];
        let proof = batch(&mut bytes, &marker, next(stamp, &missing), missing.seq);
        batch(&mut bytes, &marker, next(stamp, &proof), before.seq);
        put(&mut bytes[start..start + SECTOR], header, 20);
        put(&mut bytes[start + SECTOR..start + BLOCK], body, 40);
        put(&mut bytes[start + BLOCK..start + 2 * BLOCK], commit, 20);
        put(&mut bytes[start + 2 * BLOCK..], follows, 20);
        bytes
    })
}

fn put(bytes: &mut [u8], state: State, flipped: usize) {
    match state {
        State::Good => {}
        State::Bad => bytes[flipped] ^= 1,
        State::Absent => bytes.fill(0),
    }
}

/// Appends a batch that ends with its block.
fn batch(to: &mut Vec<u8>, records: &[Record], stamp: Stamp, durable_seq: u64) -> BatchHeader {
    encode_batch(to, records, Stamp { durable_seq, end: End::Block, ..stamp })
}

fn next(stamp: Stamp, before: &BatchHeader) -> Stamp {
    Stamp {
        offset: before.offset + before.len(),
        seq: before.seq + 1,
        prev_crc: before.crc,
        counts: before.counts_after(),
        ..stamp
    }
}

fn entry(index: u64) -> Record {
    let id = LogId::new(Term::new(1), LogIndex::new(index));
    Record::entry(0, id, EntryKind::Command, vec![7; 100].into())
}

#[test]
fn a_proof_in_a_later_segment_counts_as_one_behind_the_batch() {
    let disk = disk_with([State::Bad, State::Good, State::Absent, State::Absent], false);
    assert_eq!(conclude(&disk.fork(0)), "ambiguous");
    let whole = disk_with([State::Good, State::Good, State::Absent, State::Absent], false);
    drop(open(&whole).unwrap());

    let file = whole.open(SEGMENT).unwrap();
    file.write_all_at(2 * 4096 + 20, &[0xff]).unwrap();
    file.sync_data().unwrap();

    assert_eq!(conclude(&whole), "corrupt");
}
