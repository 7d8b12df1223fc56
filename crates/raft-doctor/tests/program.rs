//! The program as its user meets it: on directories that are sound, damaged, in use, and not there.

use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::common::{
    append, batch, command, doctor, files, find, flip, on, open, segment, write_node,
    write_snapshot,
};

fn node() -> TempDir {
    let dir = tempdir().unwrap();
    write_node(dir.path(), 1, 9);
    dir
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn inspect_says_whose_data_it_is_and_what_it_holds() {
    let dir = node();
    let before = files(dir.path());

    let told = on("inspect", dir.path(), &[]);

    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    for part in [
        "node         1\n",
        "cluster      07070707070707070707070707070707",
        "segment      1: sealed",
        "entries 1 to 5",
        "end          clean",
        "term         2, vote for node 1",
        "entries      1 to 9, the last of term 2",
        "members      voters 1 (host-1:7000), 2 (host-2:7000), 3 (host-3:7000)",
        "snapshot     up to entry 5 of term 1, 10000 bytes",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }
    assert_eq!(files(dir.path()), before, "it only reads");
}

#[test]
fn verify_finds_nothing_in_a_sound_directory() {
    let dir = node();
    let before = files(dir.path());

    let told = on("verify", dir.path(), &[]);

    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    assert!(told.out.ends_with("nothing is damaged\n"), "{}", told.out);
    assert_eq!(files(dir.path()), before, "it only reads");
}

#[test]
fn verify_names_a_damaged_entry_with_file_place_index_and_term() {
    let dir = node();
    let file = segment(dir.path(), 1);
    let at = find(&file, b"command number 4");
    flip(&file, at + 3);

    let told = on("verify", dir.path(), &[]);

    assert_eq!(told.code, 1);
    let sentence = format!(
        "{} is damaged at byte {at}: the checksum of a payload differs; it is entry 4 of term 1\n",
        file.display()
    );
    assert!(told.out.contains(&sentence), "{}", told.out);
    assert!(told.out.contains("asks the other members for entry 4 of term 1"), "{}", told.out);
}

#[test]
fn verify_names_a_damaged_index_a_missing_file_and_a_damaged_snapshot() {
    let dir = node();
    let file = segment(dir.path(), 1);
    let len = std::fs::read(&file).unwrap().len();
    flip(&file, len - 4096 + 10);
    let snapshots = dir.path().join("snapshots");
    let data = files(&snapshots).into_keys().find(|path| path.extension().unwrap() == "data");
    flip(&data.unwrap(), 77);

    let told = on("verify", dir.path(), &[]);

    assert_eq!(told.code, 1);
    assert!(told.out.contains("its trailer is damaged; it is built again"), "{}", told.out);
    assert!(told.out.contains("the snapshot up to entry 5 of term 1"), "{}", told.out);
    std::fs::remove_file(segment(dir.path(), 2)).unwrap();
    let told = on("verify", dir.path(), &[]);
    assert!(
        told.out.contains("00002.seg is damaged at byte 0: the file is missing"),
        "{}",
        told.out
    );
    assert!(told.out.contains("a node would not start on this"), "{}", told.out);
}

#[test]
fn dump_writes_every_record_as_json() {
    let dir = node();

    let told = on("dump", dir.path(), &["--json"]);

    assert_eq!(told.code, 0, "{}", told.err);
    let lines = lines(&told.out);
    let entries: Vec<_> = lines.iter().filter(|line| line["record"] == "entry").collect();
    let indexes: Vec<_> = entries.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (1..=9).collect::<Vec<_>>());
    assert_eq!(entries[0]["voters"], serde_json::json!([1, 2, 3]));
    assert_eq!(entries[8]["hex"].as_str().unwrap().len(), 2 * "command number 9 of term 2".len());
    for record in ["checkpoint", "hard_state", "group", "marker"] {
        assert!(lines.iter().any(|line| line["record"] == record), "{record}\n{}", told.out);
    }
    assert!(lines.iter().all(|line| line["segment"].is_u64() && line["offset"].is_u64()));
}

#[test]
fn dump_goes_on_behind_what_is_damaged() {
    let dir = node();
    let file = segment(dir.path(), 1);
    let at = find(&file, b"command number 3");
    // The table of the batch that holds entry 3.
    flip(&file, at - 20);

    let told = on("dump", dir.path(), &["--json"]);

    assert_eq!(told.code, 1);
    let lines = lines(&told.out);
    assert!(lines.iter().any(|line| line["record"] == "damage"), "{}", told.out);
    let has = |index| lines.iter().any(|line| line["record"] == "entry" && line["index"] == index);
    assert!(has(2) && !has(3) && has(4) && has(9), "{}", told.out);
}

#[test]
fn tail_writes_the_newest_entries() {
    let dir = node();

    let told = on("tail", dir.path(), &["-n", "2", "--json"]);

    assert_eq!(told.code, 0, "{}", told.err);
    let indexes: Vec<_> = lines(&told.out).iter().map(|line| line["index"].clone()).collect();
    assert_eq!(indexes, [8, 9]);
}

/// Gives the first segment the header block of the second.
fn misplace(dir: &Path) {
    let mut bytes = std::fs::read(segment(dir, 1)).unwrap();
    let second = std::fs::read(segment(dir, 2)).unwrap();
    bytes[..4096].copy_from_slice(&second[..4096]);
    std::fs::write(segment(dir, 1), bytes).unwrap();
}

#[test]
fn tail_reads_what_a_node_would_not_start_on() {
    let dir = node();
    misplace(dir.path());

    let told = on("tail", dir.path(), &["-n", "3", "--json"]);

    assert_eq!(told.code, 1);
    let lines = lines(&told.out);
    let indexes: Vec<_> = lines.iter().filter_map(|line| line["index"].as_u64()).collect();
    assert_eq!(indexes, [7, 8, 9]);
    assert!(told.out.contains("a node would not start"), "{}", told.out);
}

#[test]
fn what_only_reads_works_beside_a_running_node() {
    let dir = node();
    let mut log = open(dir.path(), 1);
    append(&mut log, batch(vec![command(10, 2)]));

    let [inspect, verify, dump, tail] =
        ["inspect", "verify", "dump", "tail"].map(|command| on(command, dir.path(), &[]));

    assert_eq!([inspect.code, verify.code, dump.code, tail.code], [0; 4], "{}", verify.out);
    assert!(inspect.out.contains("entries      1 to 10"), "{}", inspect.out);
    let repair = on("repair", dir.path(), &[]);
    assert_eq!(repair.code, 2);
    assert!(repair.err.contains("is in use by another process"), "{}", repair.err);
}

#[test]
fn repair_says_what_it_does_and_does_what_a_start_would() {
    let dir = node();
    let mut log = open(dir.path(), 1);
    append(&mut log, batch(vec![command(10, 2)]));
    drop(log);
    // The beginning of a write.
    let active = segment(dir.path(), 3);
    let end = find(&active, b"command number 10") + 32;
    let mut bytes = std::fs::read(&active).unwrap();
    bytes[end..end + 4].copy_from_slice(b"RWB1");
    std::fs::write(&active, bytes).unwrap();
    std::fs::write(dir.path().join("snapshots/writing-1.data"), b"left over").unwrap();
    let before = files(dir.path());

    let said = on("repair", dir.path(), &["--dry-run"]);

    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("would cut off the end of the log"), "{}", said.out);
    assert!(said.out.contains("writing-1.data, which was left over"), "{}", said.out);
    assert!(said.out.contains("nothing has been changed"), "{}", said.out);
    assert_eq!(files(dir.path()), before);

    let done = on("repair", dir.path(), &[]);

    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("will cut off the end of the log"), "{}", done.out);
    assert!(done.out.ends_with("done\n"));
    let inspect = on("inspect", dir.path(), &[]);
    assert!(inspect.out.contains("end          clean"), "{}", inspect.out);
    assert!(inspect.out.contains("entries      1 to 10"), "{}", inspect.out);
    assert!(!dir.path().join("snapshots/writing-1.data").exists());
}

#[test]
fn repair_leaves_alone_what_a_node_would_not_start_on() {
    let dir = node();
    misplace(dir.path());
    let before = files(dir.path());

    let told = on("repair", dir.path(), &[]);

    assert_eq!(told.code, 1);
    assert!(told.out.contains("nothing is changed"), "{}", told.out);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn repair_writes_a_damaged_header_block_again() {
    let dir = node();
    let file = segment(dir.path(), 1);
    let intact = std::fs::read(&file).unwrap();
    flip(&file, 100);

    let said = on("repair", dir.path(), &["--dry-run"]);
    let told = on("repair", dir.path(), &[]);

    assert_eq!([said.code, told.code], [0; 2], "{}{}", said.err, told.err);
    assert!(said.out.contains("its header block is damaged"), "{}", said.out);
    assert_eq!(std::fs::read(&file).unwrap()[..4096], intact[..4096]);
    assert_eq!(on("verify", dir.path(), &[]).code, 0);
}

#[test]
fn what_is_no_data_directory_is_said_to_be_none() {
    let dir = tempdir().unwrap();

    let missing = on("inspect", &dir.path().join("nowhere"), &[]);
    let empty = on("inspect", dir.path(), &[]);

    assert_eq!((missing.code, empty.code), (2, 2));
    assert!(missing.err.contains("there is no directory"), "{}", missing.err);
    assert!(empty.err.contains("it has no file IDENT"), "{}", empty.err);
    assert!(files(dir.path()).is_empty(), "it makes no lock");
}

#[test]
fn a_damaged_identity_is_named_and_the_rest_is_checked() {
    let dir = node();
    flip(&dir.path().join("IDENT"), 50);

    let told = on("verify", dir.path(), &[]);

    assert_eq!(told.code, 1);
    assert!(told.out.contains("IDENT is damaged at byte 0"), "{}", told.out);
    assert!(told.out.contains("9 entries"), "{}", told.out);
}

#[test]
fn snapshots_elsewhere_are_looked_at_there() {
    let dir = node();
    let elsewhere = tempdir().unwrap();
    write_snapshot(elsewhere.path(), 4);
    let path = elsewhere.path().to_str().unwrap();

    let told = doctor(&["--snapshots", path, "inspect", dir.path().to_str().unwrap()]);

    assert!(told.out.contains("snapshot     up to entry 4"), "{}", told.out);
}
