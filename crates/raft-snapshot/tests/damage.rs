//! Bytes that are not what was written.

use std::io::{ErrorKind, Read as _, Write as _};

use raft_snapshot::{DamageKind, OpenError, ReadError, Store};
use raft_wal::disk::OsDisk;
use raft_wal::sim::{SimDisk, SimFault, SimOp};

use crate::common::{self, CHUNK, copy, log_id, open, state, write};

fn name_of(disk: &SimDisk, suffix: &str) -> String {
    disk.file_names().into_iter().rfind(|name| name.ends_with(suffix)).unwrap()
}

fn with(indexes: &[u64]) -> SimDisk {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    for &index in indexes {
        write(&store, index, &state(3 * CHUNK as usize, index)).unwrap();
    }
    disk
}

/// Reads until an error; returns what came before it.
fn read_until_damage(disk: &SimDisk) -> (Vec<u8>, ReadError) {
    let (store, _) = open(disk).unwrap();
    let mut found = Vec::new();
    let error = store.latest().unwrap().reader().read_to_end(&mut found).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    (found, error.downcast().unwrap())
}

#[test]
fn no_flipped_bit_of_the_data_is_handed_out() {
    let whole = with(&[5]);
    let data = name_of(&whole, ".data");
    for byte in (0..3 * u64::from(CHUNK)).step_by(97) {
        let disk = whole.fork(byte);
        disk.flip_bit(&data, byte, 3);

        let (found, error) = read_until_damage(&disk);

        let intact = (byte / u64::from(CHUNK) * u64::from(CHUNK)) as usize;
        assert_eq!(found, state(3 * CHUNK as usize, 5)[..intact]);
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_damaged_chunk_is_not_sent() {
    let disk = with(&[5]);
    disk.zero_range(&name_of(&disk, ".data"), u64::from(CHUNK), 5);
    let (store, _) = open(&disk).unwrap();
    let snapshot = store.latest().unwrap();

    assert!(snapshot.chunk(0).is_ok());
    assert!(matches!(snapshot.chunk(1), Err(ReadError::Damaged { .. })));
    assert!(snapshot.chunk(3).is_err(), "there is no such chunk");
}

#[test]
fn a_damaged_manifest_is_reported_and_the_older_snapshot_is_there() {
    let whole = with(&[5, 6]);
    let manifest = name_of(&whole, ".manifest");
    let len = whole.file_bytes(&manifest).unwrap().len() as u64;
    for byte in 0..len {
        let disk = whole.fork(byte);
        disk.flip_bit(&manifest, byte, 5);
        let before = disk.file_names();

        let (store, opened) = open(&disk).unwrap();

        assert_eq!(opened.damaged.len(), 1, "byte {byte}");
        assert!(matches!(opened.damaged[0].fault, DamageKind::Manifest(_)));
        assert_eq!(store.latest().unwrap().id().last, log_id(5));
        assert_eq!(disk.file_names(), before, "nothing is removed");
    }
}

#[test]
fn every_flipped_byte_of_the_newest_snapshot_names_it_and_leads_to_the_one_before() {
    let whole = with(&[5, 6]);
    let newest = open(&whole.fork(0)).unwrap().0.latest().unwrap().id();
    for suffix in [".manifest", ".data"] {
        let name = name_of(&whole, suffix);
        for byte in 0..whole.file_bytes(&name).unwrap().len() as u64 {
            let disk = whole.fork(byte);
            disk.flip_bit(&name, byte, (byte % 8) as u32);

            let (store, opened) = open(&disk).unwrap();
            let choice = store.choose(log_id(5).index);

            let damaged: Vec<_> = opened.damaged.iter().chain(&choice.damaged).collect();
            assert_eq!(damaged.len(), 1, "{name} byte {byte}");
            assert_eq!(damaged[0].id, newest);
            assert!(damaged[0].path.ends_with(&name));
            assert_eq!(choice.snapshot.unwrap().id().last, log_id(5));
            assert_eq!(store.latest().unwrap().id().last, log_id(5), "nobody is sent the other");
        }
    }
}

#[test]
fn a_snapshot_that_the_log_does_not_continue_is_not_chosen() {
    let disk = with(&[5, 6]);
    disk.flip_bit(&name_of(&disk, ".data"), 10, 0);
    let (store, _) = open(&disk).unwrap();

    let choice = store.choose(log_id(6).index);

    assert!(choice.snapshot.is_none());
    assert_eq!(choice.too_old.unwrap().id().last, log_id(5));
    assert_eq!(choice.damaged.len(), 1);
}

#[test]
fn a_damaged_snapshot_does_not_count_among_those_that_are_kept() {
    let disk = with(&[5, 6]);
    disk.flip_bit(&name_of(&disk, ".data"), 10, 0);
    let (store, _) = open(&disk).unwrap();
    drop(store.choose(log_id(1).index));

    write(&store, 7, b"seven").unwrap();

    let kept: Vec<_> = store.list().iter().map(|snapshot| snapshot.id().last).collect();
    assert_eq!(kept, [log_id(5), log_id(7)]);
}

#[test]
fn missing_and_short_data_are_reported() {
    let disk = with(&[5]);
    let data = name_of(&disk, ".data");
    let short = disk.fork(2);
    short.truncate_file(&data, 512);
    let missing = disk.fork(3);
    missing.remove_file(&data);

    let (_, opened) = open(&short).unwrap();
    let expected = 3 * u64::from(CHUNK);
    assert_eq!(opened.damaged[0].fault, DamageKind::DataLength { expected, found: 512 });
    let (_, opened) = open(&missing).unwrap();
    assert_eq!(opened.damaged[0].fault, DamageKind::NoData);
}

#[test]
fn a_manifest_under_another_name_is_reported() {
    let disk = with(&[5, 6]);
    let names: Vec<_> =
        disk.file_names().into_iter().filter(|name| name.ends_with(".manifest")).collect();
    let older = disk.file_bytes(&names[0]).unwrap();
    disk.replace_file(&names[1], &older);

    let (store, opened) = open(&disk).unwrap();

    assert!(matches!(opened.damaged[0].fault, DamageKind::OtherName(id) if id.last == log_id(5)));
    assert_eq!(store.list().len(), 1);
}

#[test]
fn what_is_damaged_goes_when_newer_ones_are_there() {
    let disk = with(&[5]);
    disk.flip_bit(&name_of(&disk, ".manifest"), 50, 1);
    let (store, opened) = open(&disk).unwrap();
    assert_eq!(opened.damaged.len(), 1);

    write(&store, 6, b"six").unwrap();

    assert_eq!(disk.file_names().len(), 2, "{:?}", disk.file_names());
}

#[test]
fn a_damaged_part_is_received_again() {
    let source = with(&[5]);
    let (from, _) = open(&source).unwrap();
    let original = from.latest().unwrap();
    let disk = SimDisk::new(9);
    let (to, _) = open(&disk).unwrap();
    drop(to.receive(original.manifest().clone()).unwrap());
    disk.replace_file(&name_of(&disk, ".data"), &vec![1; 3 * CHUNK as usize]);
    drop(to);

    let (to, _) = open(&disk).unwrap();
    let copied = copy(&original, &to).unwrap();

    assert_eq!(common::read(&copied), state(3 * CHUNK as usize, 5));
}

#[test]
fn foreign_files_are_left_alone() {
    let disk = with(&[5]);
    for name in ["README", "5.data", "x.manifest", "writing-x.data"] {
        disk.replace_file(name, b"not ours");
    }
    let before = disk.file_names();

    let (store, opened) = open(&disk).unwrap();

    assert!(opened.swept.is_empty() && opened.damaged.is_empty());
    assert_eq!((disk.file_names(), store.list().len()), (before, 1));
}

#[test]
fn what_the_disk_never_gives_back_is_damaged_and_the_store_opens() {
    for op in [SimOp::Open, SimOp::Read, SimOp::Len] {
        let disk = with(&[5, 6]);
        disk.fail_at_random(op, 1_000_000, SimFault::Io);

        let (store, opened) = open(&disk).unwrap();
        let choice = store.choose(log_id(5).index);

        let damaged: Vec<_> = opened.damaged.iter().chain(&choice.damaged).collect();
        for damage in &damaged {
            let text = damage.fault.to_string();
            assert!(matches!(damage.fault, DamageKind::Unreadable { .. }), "{text}");
            assert!(text.contains("simulated input/output error"), "{text}");
        }
        assert_eq!(damaged.len(), 2, "{op:?}");
        assert!(choice.snapshot.is_none());
    }
}

/// To take a snapshot for lost costs a transfer, and more where nobody else has one.
#[test]
fn what_the_disk_gives_back_when_it_is_asked_again_is_not_damaged() {
    let whole = with(&[5, 6]);
    let mut failed = 0;
    for op in [SimOp::Open, SimOp::Read, SimOp::Len] {
        for skip in 0..8 {
            let disk = whole.fork(skip);
            disk.fail(op, skip, SimFault::Io);
            let before = disk.calls();

            let (store, opened) = open(&disk).unwrap();
            let choice = store.choose(log_id(5).index);

            assert!(opened.damaged.is_empty() && choice.damaged.is_empty(), "{op:?} {skip}");
            assert_eq!(choice.snapshot.unwrap().id().last, log_id(6));
            failed = failed.max(disk.calls() - before);
        }
    }
    assert!(failed > 8, "{failed}");
}

#[test]
fn a_directory_that_cannot_be_listed_is_an_error_that_says_what_to_do() {
    let disk = with(&[5]);
    disk.fail(SimOp::List, 0, SimFault::Io);

    let error = open(&disk).unwrap_err();

    assert!(matches!(error, OpenError::Disk(_)), "{error}");
    assert!(error.to_string().contains("check that the directory"), "{error}");
}

/// Of every kind of file, published and not.
#[test]
fn a_directory_in_the_place_of_a_file_gets_out_of_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(OsDisk::new(dir.path()), common::owner(), common::options()).unwrap();
    let write = |store: &Store<OsDisk>| {
        let mut writer = store.create(common::meta(5)).unwrap();
        writer.write_all(b"five").unwrap();
        writer.finish().unwrap()
    };
    let id = write(&open().0).id();
    let in_place_of = |suffix: &str| {
        let path = dir.path().join(format!("{id}.{suffix}"));
        drop(std::fs::remove_file(&path));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("something"), b"here").unwrap();
    };
    for suffix in ["manifest", "data"] {
        in_place_of(suffix);

        let (store, opened) = open();

        let fault = &opened.damaged[0].fault;
        let kind = ErrorKind::IsADirectory;
        assert!(matches!(fault, DamageKind::Unreadable { kind: k, .. } if *k == kind), "{fault}");
        assert!(store.list().is_empty());
        write(&store);
        assert_eq!(store.list().len(), 1);
        drop(store);
        let (store, opened) = open();
        assert!(opened.damaged.is_empty());
        assert_eq!(store.list().len(), 1);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "{suffix}");
        std::fs::remove_dir_all(dir.path().join(format!("{id}.{suffix}.aside"))).unwrap();
    }
    in_place_of("partial");
    assert_eq!(open().0.list().len(), 1);
}
