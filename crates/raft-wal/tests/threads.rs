//! The threaded log on a disk that fails.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use raft_core::GroupId;
use raft_wal::sim::{SimDisk, SimFault, SimOp};
use raft_wal::{
    AppendError, Batch, BatchSeq, CloseError, Completion, Options, Wal, WalError, WriteError,
};

use crate::common::{GROUP, SEGMENT_BYTES, batch, command, id, identity, options, vote};

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
            Completion::Full(_) | Completion::Available => {}
            Completion::Failed(error) => panic!("{error}"),
        }
    }
}

fn wait_for(completions: &Receiver<Completion>, is_it: impl Fn(&Completion) -> bool) {
    while !is_it(&completions.recv().unwrap()) {}
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
    // Each sync, as a segment may just be prepared beside.
    disk.fail_at_random(SimOp::Sync, 1_000_000, SimFault::Io);

    wal.append(batch([command(2, 1, 10)])).unwrap();

    // It may be told before that no further segment can be prepared.
    let told = completions.iter().find(|told| !matches!(told, Completion::Full(_))).unwrap();
    assert!(matches!(told, Completion::Failed(_)), "{told:?}");
    assert!(completions.recv().is_err(), "it is the last completion");
    assert!(matches!(wal.append(batch([command(3, 1, 10)])), Err(AppendError::Stopped(_))));
    assert_eq!(wal.entries(GROUP, id(1, 1).index..=id(1, 1).index, 1).unwrap().len(), 1);
    assert!(matches!(wal.close(), Err(CloseError::Stopped(_))));
}

#[test]
fn a_full_disk_is_told_takes_votes_and_ends_when_compaction_makes_room() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, options());
    disk.set_capacity(5 * SEGMENT_BYTES);
    let accepted = fill(&wal);
    wal.write(vote(1, 1)).unwrap();
    assert_eq!(wal.stats().entries, accepted, "nothing that was accepted is stuck");
    wait_for(&completions, |completion| matches!(completion, Completion::Full(_)));

    let seq = wal.compact_prefix(GROUP, id(accepted - 1, 1)).unwrap();
    wal.wait(seq).unwrap();

    wait_for(&completions, |completion| matches!(completion, Completion::Available));
    let seq = wal.append(batch([command(accepted + 1, 1, 10)])).unwrap();
    wait(&completions, seq);
    wal.close().unwrap();
}

#[test]
fn space_that_comes_back_is_found_without_anybody_asking() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, options());
    disk.set_capacity(3 * SEGMENT_BYTES);
    fill(&wal);
    wait_for(&completions, |completion| matches!(completion, Completion::Full(_)));

    disk.set_capacity(u64::MAX);

    wait_for(&completions, |completion| matches!(completion, Completion::Available));
}

#[test]
fn callers_who_wait_do_the_work_and_nobody_is_forgotten() {
    let disk = SimDisk::new(1);
    let (wal, _completions) = open(&disk, Options { segment_bytes: 1 << 20, ..options() });
    std::thread::scope(|scope| {
        for group in 1..=8 {
            let wal = &wal;
            scope.spawn(move || {
                let group = GroupId::new(group).unwrap();
                for n in 1..=50 {
                    let entries = vec![command(n, 1, 10)];
                    let batch = Batch { entries, ..Batch::new(group) };
                    if n % 3 == 0 {
                        let seq = wal.append(batch).unwrap();
                        wal.wait(seq).unwrap();
                    } else {
                        wal.write(batch).unwrap();
                    }
                }
            });
        }
    });

    assert_eq!(wal.stats().batches, 400);
    assert_eq!(wal.stats().queued_bytes, 0);
}

#[test]
fn a_task_is_woken_when_its_batch_is_durable_or_cannot_be() {
    let disk = SimDisk::new(1);
    let (wal, _completions) = open(&disk, without_markers());
    let seq = wal.append(batch([command(1, 1, 10)])).unwrap();
    block_on(wal.durable(seq)).unwrap();
    disk.fail_at_random(SimOp::Sync, 1_000_000, SimFault::Io);

    let seq = wal.append(batch([command(2, 1, 10)])).unwrap();

    assert!(block_on(wal.durable(seq)).is_err());
    assert!(matches!(wal.write(batch([command(3, 1, 10)])), Err(WriteError::Refused(_))));
}

#[test]
fn a_task_that_outlives_the_log_is_told() {
    let disk = SimDisk::new(1);
    let (wal, _completions) = open(&disk, without_markers());
    let durable = wal.durable(BatchSeq::new(1));
    drop(wal);

    assert!(matches!(*block_on(durable).unwrap_err(), WalError::Closed));
}

#[test]
fn a_task_that_panics_when_it_is_woken_takes_nobody_with_it() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a bug in the program");
        }
    }
    let disk = SimDisk::new(1);
    let (wal, _completions) = open(&disk, without_markers());
    let waker = Waker::from(Arc::new(Broken));
    let mut broken = pin!(wal.durable(BatchSeq::new(1)));
    assert!(broken.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    wal.write(batch([command(1, 1, 10)])).unwrap();

    assert!(matches!(wal.close(), Err(CloseError::Stopped(_))));
}

#[test]
fn a_caller_is_told_if_the_log_stops_while_it_waits() {
    let disk = SimDisk::new(1);
    let (wal, completions) = open(&disk, without_markers());
    // Each of them: others than the log's writer write as well.
    disk.fail_at_random(SimOp::Write, 1_000_000, SimFault::Io);

    let written = wal.write(batch([command(1, 1, 10)]));

    assert!(matches!(written, Err(WriteError::Stopped(_))));
    wait_for(&completions, |completion| matches!(completion, Completion::Failed(_)));
    assert!(completions.recv().is_err(), "it is the last completion");
}

/// Nothing is written while nobody asks for it.
fn without_markers() -> Options {
    Options { idle_marker_after: Duration::from_secs(3600), ..options() }
}

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
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
    // With a reserve, however late the thread is that prepares it.
    disk.set_capacity(5 * SEGMENT_BYTES);
    let durable = fill(&wal);

    wal.close().unwrap();

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
