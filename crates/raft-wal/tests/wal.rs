//! The threaded log, in real directories.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use raft_core::{Entry, GroupId};
use raft_wal::{
    Batch, BatchSeq, CloseError, Completion, Identity, OpenError, Options, ReadError, ReadMode,
    Recovered, Tail, Wal,
};

use crate::common::{self, GROUP, batch, command, id, identity, index, state};

fn options() -> Options {
    Options { segment_bytes: 1 << 20, tail_cache_bytes_max: 64 << 10, ..Options::default() }
}

fn open_with(dir: &Path, options: Options) -> (Wal, Recovered, Receiver<Completion>) {
    let (told, completions) = channel();
    let (wal, recovered) =
        Wal::open(dir, identity(), options, move |completion| drop(told.send(completion))).unwrap();
    (wal, recovered, completions)
}

fn open(dir: &Path) -> (Wal, Recovered, Receiver<Completion>) {
    open_with(dir, options())
}

/// Waits until `seq` is durable.
fn wait(completions: &Receiver<Completion>, seq: BatchSeq) {
    let mut last = BatchSeq::default();
    while last < seq {
        match completions.recv().unwrap() {
            Completion::Durable { seq } => {
                assert!(seq > last, "numbers grow");
                last = seq;
            }
            Completion::Full(_) | Completion::Available => {}
            Completion::Failed(error) => panic!("{error}"),
        }
    }
}

fn all(wal: &Wal) -> Vec<Entry> {
    let range = wal.first_index(GROUP)..=wal.last_index(GROUP);
    wal.entries(GROUP, range, usize::MAX / 2).unwrap()
}

#[test]
fn what_is_durable_is_there_after_an_orderly_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/wal");
    let (wal, recovered, completions) = open(&path);
    assert!(recovered.created);
    let entries: Vec<_> = (1..=20).map(|n| command(n, 1, 100)).collect();
    let first = wal.append(Batch { hard_state: Some(state(1, Some(2))), ..batch(entries.clone()) });
    assert_eq!(first.unwrap(), BatchSeq::new(1));
    wait(&completions, BatchSeq::new(1));
    assert_eq!(all(&wal), entries);
    wal.close().unwrap();

    let (wal, recovered, _) = open(&path);

    assert_eq!(recovered.tail, Tail::Clean);
    assert_eq!(recovered.group(GROUP).hard_state, state(1, Some(2)));
    assert_eq!(recovered.generation, 2);
    assert_eq!(all(&wal), entries);
}

#[test]
fn what_is_durable_is_there_after_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, completions) = open(dir.path());
    for n in 1..=30 {
        let seq = wal.append(batch([command(n, 1, 10)])).unwrap();
        wait(&completions, seq);
    }
    drop(wal);

    let (wal, _, _) = open(dir.path());

    assert_eq!(all(&wal).len(), 30);
}

#[test]
fn a_close_waits_for_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, completions) = open(dir.path());
    for n in 1..=200 {
        wal.append(batch([command(n, 1, 5000)])).unwrap();
    }
    wal.close().unwrap();
    wait(&completions, BatchSeq::new(200));

    assert_eq!(all(&open(dir.path()).0).len(), 200);
}

#[test]
fn many_threads_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, completions) = open(dir.path());
    std::thread::scope(|scope| {
        for group in 1..=32 {
            let wal = &wal;
            scope.spawn(move || {
                let group = GroupId::new(group).unwrap();
                for n in 1..=20 {
                    wal.append(Batch { entries: vec![command(n, 1, 64)], ..Batch::new(group) })
                        .unwrap();
                }
            });
        }
    });
    wait(&completions, BatchSeq::new(640));

    let stats = wal.stats();
    assert_eq!((stats.batches, stats.entries, stats.queued_bytes), (640, 640, 0));
    assert!(stats.fdatasyncs <= 640);
    drop(wal);
    let (_, recovered, _) = open(dir.path());
    assert!(recovered.groups.values().all(|group| group.last == id(20, 1)));
    assert_eq!(recovered.groups.len(), 32);
}

#[test]
fn sealed_segments_are_read_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, completions) = open(dir.path());
    let entries: Vec<_> = (1..=60).map(|n| command(n, 1, 80_000)).collect();
    for entry in &entries {
        let seq = wal.append(batch([entry.clone()])).unwrap();
        wait(&completions, seq);
    }
    assert!(wal.stats().rotations >= 4);
    assert_eq!(all(&wal), entries);
    wal.close().unwrap();
    for read_mode in [ReadMode::Map, ReadMode::Pread] {
        let (wal, _, _) = open_with(dir.path(), Options { read_mode, ..options() });
        assert_eq!(all(&wal), entries);
        let some = wal.entries(GROUP, index(7)..=index(50), 200_000).unwrap();
        assert_eq!(some, entries[6..8]);
    }
}

#[test]
fn a_file_that_is_cut_under_a_map_is_an_error_and_not_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, _) = open(dir.path());
    for n in 1..=60 {
        wal.write(batch([command(n, 1, 80_000)])).unwrap();
    }
    wal.close().unwrap();
    let (wal, _, _) = open(dir.path());
    assert_eq!(wal.entries(GROUP, index(1)..=index(1), 1).unwrap(), [command(1, 1, 80_000)]);
    let first = dir.path().join("00000000000000000001.seg");
    let first = std::fs::File::options().write(true).open(first).unwrap();

    first.set_len(16 << 10).unwrap();

    let cut = wal.entries(GROUP, index(5)..=index(5), 1);
    assert!(matches!(cut, Err(ReadError::Corrupt(_) | ReadError::Disk(_))), "{cut:?}");
    assert_eq!(wal.entries(GROUP, index(40)..=index(40), 1).unwrap(), [command(40, 1, 80_000)]);
}

#[test]
fn entries_outlive_the_segment_they_were_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, completions) = open(dir.path());
    for n in 1..=60 {
        wal.append(batch([command(n, 1, 80_000)])).unwrap();
    }
    wait(&completions, BatchSeq::new(60));
    drop(wal);
    let (wal, _, completions) = open(dir.path());
    let held = wal.entries(GROUP, index(1)..=index(10), usize::MAX).unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let before = files();

    let seq = wal.compact_prefix(GROUP, id(60, 1)).unwrap();
    wait(&completions, seq);
    wal.close().unwrap();

    assert!(files() < before);
    assert_eq!(held, (1..=10).map(|n| command(n, 1, 80_000)).collect::<Vec<_>>());
}

#[test]
fn a_second_open_is_refused_until_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _, _) = open(dir.path());

    let refused = Wal::open(dir.path(), identity(), options(), |_| {}).map(|_| ());

    assert!(matches!(refused, Err(OpenError::AlreadyOpen { .. })));
    drop(wal);
    drop(open(dir.path()));
}

#[test]
fn the_directory_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = Identity { node: common::node(2), ..identity() };

    let refused = Wal::open(dir.path(), other, options(), |_| {}).map(|_| ()).unwrap_err();

    assert!(matches!(refused, OpenError::OtherNode { .. }), "{refused}");
}

#[test]
fn a_file_where_the_directory_should_be_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    std::fs::write(&path, b"mine").unwrap();

    let refused = Wal::open(&path, identity(), options(), |_| {}).map(|_| ()).unwrap_err();

    assert!(matches!(refused, OpenError::Disk(_)), "{refused}");
    assert!(refused.to_string().contains("wal"));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_log_may_be_shared_between_threads() {
    const fn shared<T: Send + Sync>() {}
    shared::<Wal>();
    let dir = tempfile::tempdir().unwrap();
    let wal = Arc::new(open(dir.path()).0);
    let other = Arc::clone(&wal);
    std::thread::spawn(move || other.append(batch([command(1, 1, 1)])).unwrap()).join().unwrap();
    assert_eq!(wal.last_index(GROUP), index(1));
}

#[test]
fn a_panic_on_the_thread_of_the_log_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let on_durable = |_| panic!("a bug in the program");
    let (wal, _) = Wal::open(dir.path(), identity(), options(), on_durable).unwrap();
    wal.append(batch([command(1, 1, 1)])).unwrap();

    assert!(matches!(wal.close(), Err(CloseError::Stopped(_))));

    assert_eq!(all(&open(dir.path()).0), [command(1, 1, 1)]);
}

#[test]
fn an_idle_log_ends_clean_even_if_the_process_dies() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { idle_marker_after: std::time::Duration::ZERO, ..options() };
    let (wal, _, completions) = open_with(dir.path(), options.clone());
    let bytes = || std::fs::read(dir.path().join("00000000000000000001.seg")).unwrap();
    let seq = wal.append(batch([command(1, 1, 1)])).unwrap();
    wait(&completions, seq);
    // The marker comes without a completion. The flags of a batch stand at byte 42 of its header.
    let ends_in_marker = |bytes: &[u8]| {
        let last = (0..bytes.len()).step_by(8).rfind(|at| bytes[*at..].starts_with(b"RWB1"));
        bytes[last.unwrap() + 42] & 8 != 0
    };
    let comes = (0..20_000).any(|_| {
        std::thread::yield_now();
        ends_in_marker(&bytes())
    });
    assert!(comes, "a marker");
    drop(wal);

    let (_, recovered, _) = open_with(dir.path(), options);

    assert_eq!(recovered.tail, Tail::Clean);
}
