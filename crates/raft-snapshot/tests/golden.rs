//! The bytes of version 1. They never change: a snapshot that was written once stays readable.
//!
//! `UPDATE_EXPECT=1 cargo test -p raft-snapshot --test golden` writes them anew, which is only
//! right before a release.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use raft_wal::sim::SimDisk;

use crate::common::{meta, open, read};

const SESSIONS: &[u8] = b"a table of sessions";

fn content() -> Vec<u8> {
    [SESSIONS, b"; and a state that is longer than a chunk: "].concat().repeat(20)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    let mut writer = store.create(meta(42)).unwrap();
    let (sessions, state) = (SESSIONS.len(), content());
    writer.write_all(&state[..sessions]).unwrap();
    writer.end_sessions();
    writer.write_all(&state[sessions..]).unwrap();
    writer.finish().unwrap();

    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for name in disk.file_names() {
        let bytes = disk.file_bytes(&name).unwrap();
        if update {
            fs::write(golden().join(&name), &bytes).unwrap();
        }
        let found = fs::read(golden().join(&name)).unwrap();
        assert!(found == bytes, "{name} differs from the golden file");
    }
    assert_eq!(disk.file_names().len(), fs::read_dir(golden()).unwrap().count());
}

#[test]
fn a_snapshot_of_version_1_is_read() {
    let disk = SimDisk::new(1);
    for file in fs::read_dir(golden()).unwrap() {
        let path = file.unwrap().path();
        disk.replace_file(path.file_name().unwrap().to_str().unwrap(), &fs::read(&path).unwrap());
    }

    let (store, opened) = open(&disk).unwrap();

    assert!(opened.damaged.is_empty(), "{opened:?}");
    let snapshot = store.latest().unwrap();
    assert_eq!(snapshot.meta(), &meta(42));
    assert_eq!(snapshot.manifest().sizes().sessions, SESSIONS.len() as u64);
    assert_eq!(read(&snapshot), content());
}
