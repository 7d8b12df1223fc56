//! The threaded log on a disk that fails.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod common;

use std::sync::mpsc::{Receiver, channel};

use common::{GROUP, SEGMENT_BYTES, batch, command, id, identity, options};
use raft_wal::sim::{SimDisk, SimFault, SimOp};
use raft_wal::{AppendError, BatchSeq, CloseError, Completion, Options, Wal};

fn open(disk: &SimDisk, options: Options) -> (Wal<SimDisk>, Receiver<Completion>) {
    let (told, completions) = channel();
    let on_durable = move |completion| drop(told.send(completion));
    let (wal, _) = Wal::open_on(disk.clone(), identity(), options, on_durable).unwrap();
    (wal, completions)
}

fn wait(completions: &Receiver<Completion>, wanted: BatchSeq) {
    loop {
        match completions.recv().unwrap() {
            Completion::Durable { seq } if seq >= wanted => return,
            Completion::Durable { .. } => {}
            Completion::Failed(error) => panic!("{error}"),
        }
    }
}

/// Appends until that is refused for want of space; returns the number of entries accepted.
fn fill(wal: &Wal<SimDisk>) -> u64 {
    for n in 1.. {
        match wal.append(batch([command(n, 1, 4000)])) {
            Ok(_) => {}
            Err(AppendError::NoSpace(_)) => return n - 1,
            Err(error) => panic!("{error}"),
        }
        // Lets the writer find out before there is more than it can hold.
        while wal.stats().queued_bytes > 16_000 && !wal.stats().out_of_space {
            std::thread::yield_now();
        }
    }
    unreachable!()
}

#[test]
fn a_failed_sync_is_told_and_ends_everything() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, options());
    let seq = wal.append(batch([command(1, 1, 10)])).unwrap();
    wait(&completions, seq);
    disk.fail(SimOp::Sync, 0, SimFault::Io);

    wal.append(batch([command(2, 1, 10)])).unwrap();

    assert!(matches!(completions.recv().unwrap(), Completion::Failed(_)));
    assert!(completions.recv().is_err(), "it is the last completion");
    assert!(matches!(wal.append(batch([command(3, 1, 10)])), Err(AppendError::Stopped(_))));
    assert_eq!(wal.entries(GROUP, id(1, 1).index..=id(1, 1).index, 1).unwrap().len(), 1);
    assert!(matches!(wal.close(), Err(CloseError::Stopped(_))));
}

#[test]
fn a_full_disk_holds_what_was_accepted_until_compaction_makes_room() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, options());
    disk.set_capacity(5 * SEGMENT_BYTES);
    let accepted = fill(&wal);
    let durable = wal.stats().entries;
    assert!(durable < accepted);

    let seq = wal.compact_prefix(GROUP, id(durable - 1, 1)).unwrap();
    wait(&completions, seq);

    assert_eq!(wal.stats().entries, accepted);
    let seq = wal.append(batch([command(accepted + 1, 1, 10)])).unwrap();
    wait(&completions, seq);
    wal.close().unwrap();
}

#[test]
fn space_freed_by_others_is_found_by_the_next_append() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, options());
    disk.set_capacity(3 * SEGMENT_BYTES);
    let accepted = fill(&wal);
    disk.set_capacity(u64::MAX);

    let seq = loop {
        match wal.append(batch([command(accepted + 1, 1, 10)])) {
            Ok(seq) => break seq,
            Err(AppendError::NoSpace(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };

    wait(&completions, seq);
}

#[test]
fn a_full_disk_does_not_keep_a_log_from_closing() {
    let disk = SimDisk::new(1);
    let (wal, _completions) = open(&disk, options());
    disk.set_capacity(3 * SEGMENT_BYTES);
    fill(&wal);
    let durable = wal.stats().entries;

    assert!(matches!(wal.close(), Err(CloseError::NoSpace(_))));

    disk.set_capacity(u64::MAX);
    let (wal, _completions) = open(&disk, options());
    assert_eq!(wal.last_index(GROUP).get(), durable);
}

#[test]
fn a_disk_that_fails_while_sealing_or_deleting_does_not_stop_appends() {
    let disk = SimDisk::new(1);
    disk.fail_at_random(SimOp::SetLen, 500_000, SimFault::Io);
    disk.fail_at_random(SimOp::Unlink, 500_000, SimFault::Io);
    let (wal, completions) = open(&disk, options());
    for n in 1..=300 {
        let seq = wal.append(batch([command(n, 1, 2000)])).unwrap();
        wait(&completions, seq);
        if n % 10 == 0 {
            wal.compact_prefix(GROUP, id(n - 3, 1)).unwrap();
        }
    }
    drop(wal);
    disk.lose_power();

    let (wal, _completions) = open(&disk, options());

    assert_eq!(wal.last_index(GROUP).get(), 300);
}
