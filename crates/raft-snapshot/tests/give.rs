//! Looking at snapshots without touching them, and giving them to another cluster.

use std::collections::BTreeMap;

use raft_core::ClusterId;
use raft_snapshot::{Look, OpenError, Owner, ReadError, Store, give_snapshots};
use raft_wal::sim::SimDisk;

use crate::common::{CHUNK, log_id, open, options, owner, read, state, write};

fn heir() -> Owner {
    Owner { cluster: ClusterId::new([9; 16]), ..owner() }
}

fn of(index: u64) -> Vec<u8> {
    state(3 * CHUNK as usize, index)
}

fn with_two() -> SimDisk {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    for index in [5, 6] {
        write(&store, index, &of(index)).unwrap();
    }
    disk
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| disk.file_bytes(&name).map(|bytes| (name, bytes));
    disk.file_names().into_iter().filter_map(content).collect()
}

#[test]
fn a_look_finds_what_there_is_and_touches_nothing() {
    let disk = with_two();
    disk.replace_file("writing-3.data", b"left over");
    let (store, _) = open(&disk.fork(0)).unwrap();
    let before = files(&disk);

    let look = Look::at(&disk).unwrap();

    assert_eq!(files(&disk), before);
    let ids: Vec<_> = look.snapshots.iter().map(|snapshot| snapshot.id().last).collect();
    assert_eq!(ids, [log_id(5), log_id(6)]);
    assert!(look.snapshots.iter().all(|snapshot| snapshot.verify().is_empty()));
    assert_eq!(look.leftovers.len(), 1);
    drop(store);
    assert!(Look::at(&SimDisk::new(2)).unwrap().snapshots.is_empty());
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_named() {
    let disk = with_two();
    for (name, bytes) in files(&disk) {
        for at in 0..bytes.len() {
            let damaged = disk.fork(0);
            damaged.flip_bit(&name, at as u64, 4);

            let look = Look::at(&damaged).unwrap();

            let of_data = look.snapshots.iter().flat_map(|snapshot| snapshot.verify());
            let of_data: Vec<_> = of_data.collect();
            let id = name.split_once('.').unwrap().0;
            match &of_data[..] {
                [] => {
                    assert_eq!(look.damaged.len(), 1, "{name} byte {at}");
                    assert_eq!(look.damaged[0].id.to_string(), id);
                }
                [ReadError::Damaged { path, .. }] => assert!(path.ends_with(&name)),
                other => panic!("{name} byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn given_snapshots_are_those_of_the_other_cluster_with_the_same_data() {
    let disk = with_two();

    let given = give_snapshots(&disk, owner(), heir()).unwrap();

    assert!(matches!(open(&disk), Err(OpenError::OtherOwner { .. })));
    let (store, opened) = Store::open(disk.clone(), heir(), options()).unwrap();
    assert!(opened.damaged.is_empty() && opened.swept.is_empty(), "{opened:?}");
    let listed = store.list();
    assert_eq!(listed.iter().map(|snapshot| snapshot.id()).collect::<Vec<_>>(), given);
    assert_eq!(listed.iter().map(read).collect::<Vec<_>>(), [of(5), of(6)]);
    assert_eq!(disk.file_names().len(), 4, "{:?}", disk.file_names());
}

#[test]
fn a_crash_while_giving_is_made_up_for_by_giving_again() {
    let whole = with_two();
    let trial = whole.fork(0);
    let before = trial.calls();
    give_snapshots(&trial, owner(), heir()).unwrap();
    for seed in 0..4 {
        for crash_at in before + 1..=trial.calls() {
            let disk = whole.fork(seed * 1000 + crash_at);
            disk.crash_at_call(crash_at);
            drop(give_snapshots(&disk, owner(), heir()));
            disk.lose_power();
            if let Ok((store, _)) = Store::open(disk.fork(seed), heir(), options()) {
                assert_eq!(store.list().len(), 2, "it opens when all is done, and not before");
            }

            give_snapshots(&disk, owner(), heir()).unwrap();

            let (store, opened) = Store::open(disk.clone(), heir(), options()).unwrap();
            assert!(opened.damaged.is_empty(), "crash at {crash_at}: {opened:?}");
            let listed: Vec<_> = store.list().iter().map(read).collect();
            assert_eq!(listed, [of(5), of(6)], "crash at {crash_at}");
        }
    }
}

#[test]
fn a_snapshot_of_a_third_is_not_given_away() {
    let disk = with_two();
    let third = Owner { cluster: ClusterId::new([1; 16]), ..owner() };

    let given = give_snapshots(&disk, third, heir());

    assert!(matches!(given, Err(OpenError::OtherOwner { found, .. }) if found == owner()));
    assert_eq!(open(&disk).unwrap().0.list().len(), 2);
}
