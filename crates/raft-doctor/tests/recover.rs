//! A cluster that has lost its majority: what is said before, what is done, what a crash in between
//! leaves.

use std::path::Path;

use raft_core::{ClusterId, EntryPayload, GroupId, LogIndex, Term};
use raft_snapshot::disk::OsDisk;
use raft_snapshot::{Owner, Store};
use raft_wal::{Identity, Log, OpenError};
use tempfile::tempdir;

use crate::common::{
    self, HEIR, Told, files, find, flip, identity, on, options, segment, write_node,
};

fn recover(dir: &Path, more: &[&str]) -> Told {
    let mut arguments = vec!["--new-cluster", HEIR];
    arguments.extend(more);
    on("recover-quorum", dir, &arguments)
}

/// The word that the program wants to hear.
fn word(told: &Told) -> String {
    let word = told.out.rsplit("--confirm ").next().unwrap();
    word.trim().to_owned()
}

fn heir() -> ClusterId {
    HEIR.parse().unwrap()
}

fn check_recovered(dir: &Path) {
    let identity = Identity { cluster: heir(), ..identity(1) };
    let (log, recovered) = Log::open(OsDisk::new(dir), identity, options()).unwrap();
    let group = recovered.group(GroupId::FIRST);
    assert_eq!(group.last.index, LogIndex::new(10));
    assert_eq!(group.hard_state.term, Term::new(1_000_002));
    assert_eq!(group.hard_state.vote, None);
    let entries = log.entries(GroupId::FIRST, LogIndex::new(1)..=group.last.index, 1 << 20);
    let entries = entries.unwrap();
    assert_eq!(entries[8], common::command(9, 2), "what was there is there");
    let EntryPayload::Membership(members) = &entries[9].payload else { panic!("{entries:?}") };
    assert_eq!(members.members().collect::<Vec<_>>(), [common::node(1)]);
    assert_eq!(members.address(common::node(1)), Some("host-1:7000"));
    let owner = Owner { cluster: heir(), group: GroupId::FIRST };
    let snapshots = OsDisk::new(&dir.join("snapshots"));
    let (store, opened) = Store::open(snapshots, owner, Default::default()).unwrap();
    assert!(opened.damaged.is_empty());
    assert_eq!(store.list().len(), 1);
    assert!(store.latest().unwrap().verify().is_empty());
}

#[test]
fn without_a_word_it_says_what_may_be_lost_and_changes_nothing() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    let before = files(dir.path());

    let told = recover(dir.path(), &[]);

    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "the others (2, 3) are lost for good",
        "up to entry 5: nothing, a snapshot covers it",
        "entries 6 to 9: nothing; whether they were committed is not known",
        "from entry 10 on: EVERYTHING, if there was anything",
        "entry 10 of term 1000002: voters 1 (host-1:7000)",
        "Nothing has been changed",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_wrong_word_changes_nothing() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    let old = word(&recover(dir.path(), &[]));
    common::append(&mut common::open(dir.path(), 1), common::batch(vec![common::command(10, 2)]));
    let before = files(dir.path());

    let told = recover(dir.path(), &["--confirm", &old]);

    assert_eq!(told.code, 2);
    assert!(told.err.contains("belongs to another state of this directory"), "{}", told.err);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn with_the_word_the_node_is_alone_in_another_cluster_and_has_what_it_had() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);

    let told = recover(dir.path(), &["--confirm", &word(&recover(dir.path(), &[]))]);

    assert_eq!(told.code, 0, "{}", told.err);
    check_recovered(dir.path());
    let old = Log::open(OsDisk::new(dir.path()), identity(1), options());
    assert!(matches!(old, Err(OpenError::OtherCluster { .. })), "the old cluster's nodes are out");
    let record = std::fs::read_to_string(dir.path().join("recovery.jsonl")).unwrap();
    let steps: Vec<serde_json::Value> =
        record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&steps[0]["step"], &steps[1]["step"]), (&"begun".into(), &"done".into()));
    assert_eq!(steps[0]["may_be_lost_from"], 10);
    assert_eq!(steps[0]["old_members"], serde_json::json!([1, 2, 3]));
}

#[test]
fn what_was_interrupted_is_finished_by_the_same_command() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    let word = word(&recover(dir.path(), &[]));
    let begun = recover(dir.path(), &["--confirm", &word]);
    assert_eq!(begun.code, 0, "{}", begun.err);
    let record = dir.path().join("recovery.jsonl");
    let lines = std::fs::read_to_string(&record).unwrap();
    let first = lines.lines().next().unwrap().to_owned() + "\n";
    // As if it had been interrupted behind each of its steps.
    for steps in 1..3 {
        let copy = tempdir().unwrap();
        write_node(copy.path(), 1, 9);
        std::fs::write(copy.path().join("recovery.jsonl"), &first).unwrap();
        Log::give_to(&OsDisk::new(copy.path()), identity(1), heir()).unwrap();
        if steps > 1 {
            let owner = |cluster| Owner { cluster, group: GroupId::FIRST };
            let snapshots = OsDisk::new(&copy.path().join("snapshots"));
            let (from, to) = (owner(common::CLUSTER), owner(heir()));
            raft_snapshot::give_snapshots(&snapshots, from, to).unwrap();
        }

        let asked = recover(copy.path(), &[]);
        assert_eq!(asked.code, 1);
        assert!(asked.out.contains("was begun here and not finished"), "{}", asked.out);
        let told = recover(copy.path(), &["--confirm", &word]);

        assert_eq!(told.code, 0, "{}", told.err);
        check_recovered(copy.path());
    }
    // And behind the last.
    std::fs::write(&record, &first).unwrap();
    let told = recover(dir.path(), &["--confirm", &word]);
    assert_eq!(told.code, 0, "{}", told.err);
    check_recovered(dir.path());
}

#[test]
fn a_longer_log_is_preferred() {
    let (short, long) = (tempdir().unwrap(), tempdir().unwrap());
    write_node(short.path(), 1, 9);
    write_node(long.path(), 2, 12);
    let path = |dir: &tempfile::TempDir| dir.path().to_str().unwrap().to_owned();

    let refused = recover(short.path(), &["--other", &path(&long)]);
    let accepted = recover(long.path(), &["--other", &path(&short)]);

    assert_eq!((refused.code, accepted.code), (2, 0), "{}", accepted.err);
    assert!(refused.err.contains("recover from the longer one"), "{}", refused.err);
}

#[test]
fn what_cannot_be_recovered_from_is_refused() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    let same =
        on("recover-quorum", dir.path(), &["--new-cluster", "07070707070707070707070707070707"]);
    assert!(same.err.contains("has the id of the old one"), "{}", same.err);

    let file = segment(dir.path(), 1);
    flip(&file, find(&file, b"command number 4"));
    let damaged = recover(dir.path(), &[]);

    assert_eq!(damaged.code, 2);
    assert!(damaged.err.contains("entry 4 of term 1 is damaged"), "{}", damaged.err);
}

#[test]
fn a_node_that_runs_is_not_recovered() {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    let word = word(&recover(dir.path(), &[]));
    let running = common::open(dir.path(), 1);

    let told = recover(dir.path(), &["--confirm", &word]);

    assert_eq!(told.code, 2);
    assert!(told.err.contains("is in use"), "{}", told.err);
    drop(running);
    let again = recover(dir.path(), &[]);
    assert!(again.out.contains("Nothing has been changed"), "{}", again.out);
}
