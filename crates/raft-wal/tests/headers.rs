//! Header blocks that are damaged: the next segment knows what they said, and the newest segment was
//! never written to.

use proptest::prelude::*;
use raft_core::Entry;
use raft_wal::inspect::{Cost, Inspector};
use raft_wal::sim::SimDisk;
use raft_wal::{Log, OpenError, Tail};

use crate::common::{GROUP, SEGMENT_BYTES, all_entries, batch, command, id, open, vote};

const BLOCK: usize = 4096;

/// Logs with sealed segments, one that was being written, and spares.
fn written() -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(1, 2)).unwrap();
    for index in 1..=60 {
        log.append(batch([command(index, 1, 4000)])).unwrap();
        log.flush().unwrap();
    }
    let entries = all_entries(&log);
    log.close().unwrap();
    (disk, entries)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.file_names();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

/// What stands behind the header block.
fn body(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.file_bytes(name).unwrap()[BLOCK..].to_vec()
}

fn is_spare(disk: &SimDisk, name: &str) -> bool {
    body(disk, name).iter().all(|byte| *byte == 0)
}

fn replace_header(disk: &SimDisk, name: &str, header: &[u8]) {
    let mut bytes = disk.file_bytes(name).unwrap();
    bytes[..BLOCK].copy_from_slice(header);
    disk.replace_file(name, &bytes);
}

fn header(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.file_bytes(name).unwrap()[..BLOCK].to_vec()
}

/// Opens the log, and checks that all is there.
fn holds(disk: &SimDisk, entries: &[Entry]) {
    let (log, found) = open(disk).unwrap();
    assert!(found.damage.is_empty());
    assert_eq!(found.tail, Tail::Clean);
    assert_eq!(all_entries(&log), entries);
    log.close().unwrap();
}

fn refused(disk: &SimDisk) {
    let files = || -> Vec<_> { segments(disk).iter().map(|name| disk.file_bytes(name)).collect() };
    let before = files();
    assert!(matches!(open(disk), Err(OpenError::Corrupt(_))));
    assert_eq!(files(), before, "nothing is changed");
}

#[test]
fn any_header_that_is_gone_is_written_again() {
    let (_, entries) = written();
    let count = segments(&written().0).len();
    assert!(count >= 6, "sealed ones, one that was being written, and spares");
    for nth in 0..count {
        for damage in [vec![0; BLOCK], vec![0xA5; BLOCK]] {
            let (disk, _) = written();
            let name = segments(&disk)[nth].clone();
            let intact = header(&disk, &name);
            replace_header(&disk, &name, &damage);
            assert_eq!(costs(&disk), [Cost::Derived], "segment {nth}");

            let (log, found) = open(&disk).unwrap();

            assert!(found.damage.is_empty());
            assert_eq!(all_entries(&log), entries);
            if nth > 0 && nth + 1 < count {
                assert_eq!(header(&disk, &name), intact, "segment {nth}");
            }
            log.close().unwrap();
            assert_eq!(costs(&disk), []);
            holds(&disk, &entries);
        }
    }
}

/// What a tool that looks at the files says of damage.
fn costs(disk: &SimDisk) -> Vec<Cost> {
    let found = Inspector::new(disk.clone()).verify().unwrap();
    found.damage.iter().map(|damage| damage.cost).collect()
}

#[test]
fn a_spare_is_made_again_however_much_of_it_is_left() {
    let (disk, entries) = written();
    let newest = segments(&disk).pop().unwrap();
    let bytes = disk.file_bytes(&newest).unwrap();
    assert!(is_spare(&disk, &newest));
    for len in [0, 1, 80, 512, BLOCK - 1, BLOCK, BLOCK + 1, bytes.len() - 1] {
        let (disk, _) = written();
        let mut cut = bytes[..len].to_vec();
        if let Some(byte) = cut.get_mut(40) {
            *byte ^= 1;
        }
        disk.replace_file(&newest, &cut);

        holds(&disk, &entries);
        holds(&disk, &entries);
    }
}

#[test]
fn what_stands_behind_the_end_of_a_segment_is_not_the_logs() {
    let count = segments(&written().0).len();
    for nth in 0..count {
        let (disk, entries) = written();
        let name = &segments(&disk)[nth];
        let mut bytes = disk.file_bytes(name).unwrap();
        bytes.resize(narrow(SEGMENT_BYTES).max(bytes.len()), 0);
        bytes.extend_from_slice(&[7; 700]);
        disk.replace_file(name, &bytes);

        assert_eq!(costs(&disk), [Cost::Nothing], "segment {nth}");
        holds(&disk, &entries);
        holds(&disk, &entries);
    }
}

fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

#[test]
fn two_headers_in_a_row_are_too_many() {
    let (disk, _) = written();
    let names = segments(&disk);
    for name in &names[1..3] {
        replace_header(&disk, name, &[0; BLOCK]);
    }

    assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))));
}

#[test]
fn a_newest_segment_that_holds_something_is_no_spare() {
    let (disk, _) = written();
    let newest = segments(&disk).pop().unwrap();
    let mut bytes = disk.file_bytes(&newest).unwrap();
    bytes[..BLOCK].fill(0);
    bytes[BLOCK + 5000] = 1;
    disk.replace_file(&newest, &bytes);

    refused(&disk);
}

#[test]
fn segments_that_have_changed_places_are_refused() {
    let count = segments(&written().0).len();
    for (one, other) in (0..count).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let (disk, _) = written();
        let names = segments(&disk);
        let [a, b] = [one, other].map(|nth| disk.file_bytes(&names[nth]).unwrap());
        disk.replace_file(&names[one], &b);
        disk.replace_file(&names[other], &a);

        refused(&disk);
    }
}

/// A log whose next segment was written to, and is prepared again at the next open.
fn with_a_used_spare() -> (SimDisk, Vec<Entry>) {
    let (disk, entries) = written();
    let names = segments(&disk);
    let next = names.iter().find(|name| is_spare(&disk, name)).unwrap();
    let mut bytes = disk.file_bytes(next).unwrap();
    bytes[BLOCK + 100] = 9;
    disk.replace_file(next, &bytes);
    (disk, entries)
}

/// If the copy in the segment after it were that of its earlier life, no batch would be taken for
/// one, and the log would be shorter.
#[test]
fn a_segment_that_is_prepared_again_is_known_to_the_next_one_before_it_is_used() {
    let (disk, mut entries) = with_a_used_spare();
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(61, 1, 100)])).unwrap();
    log.flush().unwrap();
    entries.push(command(61, 1, 100));
    log.close().unwrap();
    let names = segments(&disk);
    let active = names.iter().rfind(|name| !is_spare(&disk, name)).unwrap();
    replace_header(&disk, active, &[0; BLOCK]);

    holds(&disk, &entries);
}

/// The same, whatever call the disk fails at and whichever header is damaged then.
#[test]
fn a_crash_while_segments_are_prepared_again_leaves_no_stale_copy_in_use() {
    let mut calls = 0;
    loop {
        let (disk, entries) = with_a_used_spare();
        disk.crash_at_call(disk.calls() + calls);
        let is_over = open(&disk).is_ok();
        disk.lose_power();
        for name in &segments(&disk) {
            let copy = disk.fork(calls);
            replace_header(&copy, name, &[0; BLOCK]);
            match open(&copy) {
                Ok((log, _)) => assert_eq!(all_entries(&log), entries, "call {calls}, {name}"),
                Err(error) => assert!(matches!(error, OpenError::Corrupt(_)), "{error}"),
            }
        }
        if is_over {
            break;
        }
        calls += 1;
    }
    assert!(calls > 5);
}

proptest! {
    /// Logs that were cut, compacted, and had spares of an earlier open.
    #[test]
    fn no_flipped_bit_of_a_header_costs_anything(
        sizes in prop::collection::vec(1_usize..9000, 1..60),
        opens in 1_usize..4,
        compact in 0_u64..40,
        nth in any::<prop::sample::Index>(),
        at in 0_usize..BLOCK,
        bit in 0_u32..8,
    ) {
        let disk = SimDisk::new(3);
        let mut entries = Vec::new();
        for part in sizes.chunks(sizes.len().div_ceil(opens)) {
            let (mut log, _) = open(&disk).unwrap();
            for size in part {
                let entry = command(entries.len() as u64 + 1, 1, *size);
                entries.push(entry.clone());
                log.append(batch([entry])).unwrap();
                log.flush().unwrap();
            }
            if compact > 0 && compact < entries.len() as u64 && compact > log_base(&log) {
                log.compact_prefix(GROUP, id(compact, 1)).unwrap();
            }
            log.close().unwrap();
        }
        let (log, _) = open(&disk).unwrap();
        let base = log_base(&log);
        log.close().unwrap();
        let names = segments(&disk);
        disk.flip_bit(nth.get(&names).as_str(), at as u64, bit);

        let (log, found) = open(&disk).unwrap();

        prop_assert!(found.damage.is_empty());
        prop_assert_eq!(all_entries(&log), &entries[narrow(base)..]);
    }
}

fn log_base(log: &Log<SimDisk>) -> u64 {
    log.first_index(GROUP).get() - 1
}
