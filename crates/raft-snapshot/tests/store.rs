//! Writing, reading, receiving and keeping snapshots, on a disk that does what it is told.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use raft_core::{ClusterId, GroupId};
use raft_snapshot::{MemoryDisk, OpenError, Options, Owner, Receiving, Store, WriteError};
use raft_wal::disk::OsDisk;
use raft_wal::sim::SimDisk;

use crate::common::{CHUNK, copy, log_id, meta, open, options, owner, partial, read, state, write};

proptest! {
    #[test]
    fn what_was_written_is_read_whatever_its_length(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..6),
    ) {
        let (store, _) = open(&SimDisk::new(1)).unwrap();
        let mut writer = store.create(meta(5)).unwrap();
        parts.iter().for_each(|part| writer.write_all(part).unwrap());
        let snapshot = writer.finish().unwrap();

        prop_assert_eq!(read(&snapshot), parts.concat());
        prop_assert_eq!(snapshot.manifest().sizes().data, parts.concat().len() as u64);
    }

    #[test]
    fn a_copy_is_equal_in_all_and_has_the_same_name(len in 0usize..5000) {
        let (from, _) = open(&SimDisk::new(1)).unwrap();
        let (to, _) = open(&SimDisk::new(2)).unwrap();
        let original = write(&from, 9, &state(len, 1)).unwrap();

        let copied = copy(&original, &to).unwrap();

        prop_assert_eq!(copied.manifest(), original.manifest());
        prop_assert_eq!(read(&copied), read(&original));
        prop_assert_eq!(to.latest().map(|s| s.id()), Some(original.id()));
    }
}

#[test]
fn nothing_is_seen_before_it_is_finished() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    let mut writer = store.create(meta(5)).unwrap();
    writer.write_all(&state(3000, 1)).unwrap();

    assert!(store.latest().is_none());
    drop(writer);
    assert_eq!(disk.file_names(), [""; 0], "a writer that gives up leaves nothing");
}

#[test]
fn what_was_published_is_there_after_reopening() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    let id = write(&store, 5, &state(3000, 1)).unwrap().id();
    drop(store);

    let (store, opened) = open(&disk).unwrap();

    assert!(opened.damaged.is_empty() && opened.swept.is_empty(), "{opened:?}");
    let snapshot = store.latest().unwrap();
    assert_eq!((snapshot.id(), read(&snapshot)), (id, state(3000, 1)));
    assert_eq!(snapshot.meta(), &meta(5));
}

#[test]
fn sessions_stand_in_front_of_the_state() {
    let (store, _) = open(&SimDisk::new(1)).unwrap();
    let mut writer = store.create(meta(5)).unwrap();
    writer.write_all(b"who asked what").unwrap();
    writer.end_sessions();
    writer.write_all(b"the state").unwrap();

    let snapshot = writer.finish().unwrap();

    let sizes = snapshot.manifest().sizes();
    assert_eq!((sizes.sessions, sizes.data), (14, 23));
}

#[test]
fn only_as_many_as_wanted_are_kept() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    for index in 1..=5 {
        write(&store, index, &state(2000, index)).unwrap();
    }

    let kept: Vec<_> = store.list().iter().map(|s| s.id().last).collect();
    assert_eq!(kept, [log_id(4), log_id(5)]);
    assert_eq!(disk.file_names().len(), 4, "{:?}", disk.file_names());
}

#[test]
fn fewer_are_kept_once_fewer_are_wanted() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    write(&store, 1, &state(2000, 1)).unwrap();
    write(&store, 2, &state(2000, 2)).unwrap();
    drop(store);

    let fewer = Options { retain: 1, ..options() };
    let (store, _) = Store::open(disk.clone(), owner(), fewer).unwrap();

    assert_eq!(store.list().len(), 1);
    assert_eq!(disk.file_names().len(), 2, "{:?}", disk.file_names());
}

#[test]
fn what_somebody_holds_stays_readable_after_its_time() {
    let (store, _) = open(&SimDisk::new(1)).unwrap();
    let held = write(&store, 1, &state(2000, 1)).unwrap();
    for index in 2..=4 {
        write(&store, index, &state(2000, index)).unwrap();
    }

    assert!(store.get(held.id()).is_none());
    assert_eq!(read(&held), state(2000, 1));
}

#[test]
fn the_same_snapshot_twice_is_one() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    let first = write(&store, 5, &state(2000, 1)).unwrap().id();

    let second = write(&store, 5, &state(2000, 1)).unwrap().id();

    assert_eq!(first, second);
    assert_eq!(disk.file_names().len(), 2, "{:?}", disk.file_names());
}

#[test]
fn receiving_goes_on_where_it_was() {
    let (from, _) = open(&SimDisk::new(1)).unwrap();
    let original = write(&from, 9, &state(5 * CHUNK as usize, 1)).unwrap();
    let disk = SimDisk::new(2);
    let (to, _) = open(&disk).unwrap();
    let mut begun = partial(to.receive(original.manifest().clone()).unwrap());
    for number in [0, 1, 3] {
        let bytes = original.chunk(number).unwrap();
        begun.write(&original.manifest().verify(number, bytes).unwrap()).unwrap();
    }
    drop((begun, to));

    disk.kill_process();
    let (to, opened) = open(&disk).unwrap();

    assert_eq!(opened.partial, Some(original.id()));
    let again = partial(to.receive(original.manifest().clone()).unwrap());
    assert_eq!(again.missing(), [2..3, 4..5]);
    assert!(matches!(again.publish(), Err(WriteError::Incomplete { number: 2 })));
    assert_eq!(read(&copy(&original, &to).unwrap()), read(&original));
}

#[test]
fn a_part_of_another_snapshot_makes_room() {
    let (from, _) = open(&SimDisk::new(1)).unwrap();
    let older = write(&from, 8, &state(3000, 1)).unwrap();
    let newer = write(&from, 9, &state(3000, 2)).unwrap();
    let disk = SimDisk::new(2);
    let (to, _) = open(&disk).unwrap();
    drop(to.receive(older.manifest().clone()).unwrap());

    copy(&newer, &to).unwrap();

    assert_eq!(disk.file_names().len(), 2, "{:?}", disk.file_names());
}

#[test]
fn a_chunk_of_another_snapshot_is_refused() {
    let (from, _) = open(&SimDisk::new(1)).unwrap();
    let one = write(&from, 8, &state(3000, 1)).unwrap();
    let other = write(&from, 9, &state(3000, 2)).unwrap();
    let (to, _) = open(&SimDisk::new(2)).unwrap();
    let mut begun = partial(to.receive(one.manifest().clone()).unwrap());

    let chunk = other.manifest().verify(0, other.chunk(0).unwrap()).unwrap();

    assert!(matches!(begun.write(&chunk), Err(WriteError::OtherSnapshot)));
}

#[test]
fn what_is_published_is_not_received_again() {
    let (from, _) = open(&SimDisk::new(1)).unwrap();
    let original = write(&from, 9, &state(3000, 1)).unwrap();
    let (to, _) = open(&SimDisk::new(2)).unwrap();
    copy(&original, &to).unwrap();

    let again = to.receive(original.manifest().clone()).unwrap();

    assert!(matches!(again, Receiving::Published(there) if there.id() == original.id()));
}

#[test]
fn a_writer_that_finishes_while_a_newer_one_arrives_loses_no_data() {
    let (from, _) = open(&SimDisk::new(1)).unwrap();
    let newest = [20, 21].map(|index| write(&from, index, &state(3000, index)).unwrap());
    let disk = SimDisk::new(2);
    let (store, _) = open(&disk).unwrap();
    let mut writer = store.create(meta(5)).unwrap();
    writer.write_all(&state(2000, 5)).unwrap();
    newest.iter().for_each(|snapshot| drop(copy(snapshot, &store).unwrap()));
    writer.finish().unwrap();
    drop(store);

    disk.kill_process();
    let (store, opened) = open(&disk).unwrap();

    assert!(opened.damaged.is_empty(), "{opened:?}");
    assert_eq!(store.latest().map(|s| s.id()), Some(newest[1].id()));
}

#[test]
fn a_directory_is_open_once() {
    let disk = SimDisk::new(1);
    let (_store, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::AlreadyOpen { .. })));
}

#[test]
fn snapshots_of_another_cluster_or_group_are_refused() {
    let disk = SimDisk::new(1);
    drop(write(&open(&disk).unwrap().0, 5, b"mine").unwrap());
    let others = [
        Owner { cluster: ClusterId::new([8; 16]), ..owner() },
        Owner { group: GroupId::new(2).unwrap(), ..owner() },
    ];
    for other in others {
        let refused = Store::open(disk.clone(), other, options());
        assert!(matches!(refused, Err(OpenError::OtherOwner { found, .. }) if found == owner()));
    }
}

#[test]
fn chunks_of_no_bytes_and_of_too_many_are_refused() {
    for chunk_bytes in [0, raft_snapshot::CHUNK_BYTES_MAX + 1] {
        let options = Options { chunk_bytes, ..options() };
        let refused = Store::open(SimDisk::new(1), owner(), options);
        assert!(
            matches!(refused, Err(OpenError::ChunkBytes { found, .. }) if found == chunk_bytes)
        );
    }
}

#[test]
fn a_directory_of_the_system_works_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::new(&dir.path().join("snapshots"));
    let (store, _) = Store::open(disk.clone(), owner(), Options::default()).unwrap();
    let mut writer = store.create(meta(5)).unwrap();
    writer.write_all(&state(3 << 20, 1)).unwrap();
    writer.finish().unwrap();
    drop(store);

    let (store, _) = Store::open(disk, owner(), Options::default()).unwrap();

    let mut found = Vec::new();
    store.latest().unwrap().reader().read_to_end(&mut found).unwrap();
    assert_eq!(found, state(3 << 20, 1));
}

#[test]
fn a_disk_in_memory_works_as_well() {
    let disk = MemoryDisk::default();
    for index in 1..=4 {
        let (store, opened) = Store::open(disk.clone(), owner(), options()).unwrap();
        assert!(opened.damaged.is_empty() && opened.swept.is_empty(), "{opened:?}");
        let mut writer = store.create(meta(index)).unwrap();
        writer.write_all(&state(2000, index)).unwrap();
        writer.finish().unwrap();
    }

    let (store, _) = Store::open(disk, owner(), options()).unwrap();

    assert_eq!(store.list().len(), 2);
    let mut found = Vec::new();
    store.latest().unwrap().reader().read_to_end(&mut found).unwrap();
    assert_eq!(found, state(2000, 4));
}
