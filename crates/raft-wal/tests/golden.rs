//! The bytes of version 1.3, which is written, and of those before, which are read. They never change: a log that
//! was written once stays readable.
//!
//! `UPDATE_EXPECT=1 cargo test -p raft-wal --test it golden` writes them anew, which is only right
//! before a release.

use std::path::{Path, PathBuf};

use raft_core::Entry;
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Log, OnCorruption, Options, Tail};

use crate::common::{
    GROUP, all_entries, batch, command, id, identity, index, membership, open, options, state, vote,
};

/// A log with every kind of record, in a sealed and in an active segment.
fn written() -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(vote(1, 2)).unwrap();
    log.flush().unwrap();
    log.append(batch([membership(1, 1), command(2, 1, 13), command(3, 1, 0)])).unwrap();
    log.flush().unwrap();
    log.mark_idle().unwrap();
    let truncate_from = Some(index(3));
    let hard_state = Some(state(4, None));
    log.append(Batch { truncate_from, hard_state, ..batch([command(3, 4, 5)]) }).unwrap();
    log.flush().unwrap();
    log.compact_prefix(GROUP, id(1, 1)).unwrap();
    log.close().unwrap();
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(4, 4, 20)])).unwrap();
    log.close().unwrap();
    (disk, vec![command(2, 1, 13), command(3, 4, 5), command(4, 4, 20)])
}

fn golden(version: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(version).join(name)
}

/// A file without the zeros at its end, and its length.
fn trimmed(bytes: &[u8]) -> (&[u8], usize) {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    (&bytes[..used], bytes.len())
}

/// Such a log with an entry that was damaged and repaired, in a segment that is sealed since.
fn repaired() -> SimDisk {
    let (disk, entries) = written();
    let name = &disk.file_names()[1];
    let payload = entries[2].payload.to_bytes();
    let bytes = disk.file_bytes(name).unwrap();
    let at = bytes.windows(payload.len()).position(|window| window == payload).unwrap();
    disk.flip_bit(name, at as u64, 0);
    let options = Options { on_corruption: OnCorruption::Report, ..options() };
    let (mut log, _) = Log::open(disk.clone(), identity(), options).unwrap();
    log.append(Batch { repairs: vec![entries[2].clone()], ..Batch::new(GROUP) }).unwrap();
    log.close().unwrap();
    // Seals the segment with the repair.
    open(&disk).unwrap().0.close().unwrap();
    disk
}

#[test]
fn the_bytes_of_version_1_3_do_not_change() {
    let (disk, _) = written();
    compare(&disk, "v1.3");
}

#[test]
fn the_bytes_of_a_repair_do_not_change() {
    compare(&repaired(), "v1.3-repaired");
}

/// Such a log whose newest write may be lost, and one where that is settled.
fn doubtful() -> SimDisk {
    let (disk, _) = written();
    let (mut log, _) = open(&disk).unwrap();
    log.append(batch([command(5, 4, 20)])).unwrap();
    log.flush().unwrap();
    drop(log);
    disk.kill_process();
    let payload = command(5, 4, 20).payload.to_bytes();
    let name = disk.file_names().into_iter().find(|name| {
        let bytes = disk.file_bytes(name).unwrap();
        let at = bytes.windows(payload.len()).position(|window| *window == payload);
        at.is_some_and(|at| disk.flip_bit(name, at as u64, 0))
    });
    assert!(name.is_some());
    open(&disk).unwrap().0.close().unwrap();
    disk
}

#[test]
fn the_bytes_of_a_doubt_do_not_change() {
    compare(&doubtful(), "v1.3-doubt");
}

#[test]
fn a_log_in_doubt_is_read() {
    for version in ["v1.2-doubt", "v1.3-doubt"] {
        let disk = stored(version);
        check(&disk);
        assert!(open(&disk).unwrap().1.group(GROUP).is_in_doubt);
    }
}

fn compare(disk: &SimDisk, version: &str) {
    for name in disk.file_names() {
        let bytes = disk.file_bytes(&name).unwrap();
        let (used, len) = trimmed(&bytes);
        let mut expected = len.to_string().into_bytes();
        expected.push(b'\n');
        expected.extend_from_slice(used);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(golden(version, "")).unwrap();
            std::fs::write(golden(version, &name), &expected).unwrap();
        }
        let found = std::fs::read(golden(version, &name)).unwrap();
        assert!(found == expected, "{name} differs from the golden file");
    }
}

fn stored(version: &str) -> SimDisk {
    let disk = SimDisk::new(2);
    for file in std::fs::read_dir(golden(version, "")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let len: usize = std::str::from_utf8(&bytes[..line]).unwrap().parse().unwrap();
        let mut content = bytes[line + 1..].to_vec();
        content.resize(len, 0);
        disk.replace_file(path.file_name().unwrap().to_str().unwrap(), &content);
    }

    disk
}

#[test]
fn logs_of_all_versions_are_read() {
    for version in ["v1", "v1.1", "v1.2", "v1.3"] {
        check(&stored(version));
    }
}

#[test]
fn a_log_with_a_repair_is_read() {
    for version in ["v1.1-repaired", "v1.2-repaired", "v1.3-repaired"] {
        check(&stored(version));
    }
}

fn check(disk: &SimDisk) {
    let (log, recovered) = open(disk).unwrap();

    assert_eq!(recovered.tail, Tail::Clean);
    let found = recovered.group(GROUP);
    assert_eq!(found.hard_state, state(4, None));
    assert_eq!((found.base, found.last), (id(1, 1), id(4, 4)));
    assert_eq!(all_entries(&log), written().1);
}
