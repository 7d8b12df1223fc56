//! Every target, around bytes that are valid.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use raft_fuzz::{TARGETS, Target};

/// What may happen to bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Repeat(Index, Index),
    Remove(Index, u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let small_or_any =
        || prop_oneof![prop::sample::select(vec![0, 1, 2, 127, 128, 255]), any::<u8>()];
    let one = prop_oneof![
        4 => (any::<Index>(), small_or_any()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
        2 => (any::<Index>(), 1u8..20).prop_map(|(at, len)| Change::Remove(at, len)),
    ];
    prop::collection::vec(one, 0..6)
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    match change {
        Change::Set(at, byte) => bytes[at.index(len)] = *byte,
        Change::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Change::Cut(at) => bytes.truncate(at.index(len)),
        Change::Repeat(from, to) => {
            let (from, to) = (from.index(len), to.index(len));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, part);
        }
        Change::Remove(at, n) => {
            let at = at.index(len);
            bytes.drain(at..len.min(at + usize::from(*n)));
        }
    }
}

/// Runs `target` on `cases` variations of its seeds, and on what is no variation of anything.
fn look_around(target: Target, cases: u32) {
    let seeds = (target.seeds)();
    let near = (any::<Index>(), changes()).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        bytes
    });
    let bytes = prop_oneof![8 => near, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    let config = ProptestConfig { cases, ..ProptestConfig::default() };
    proptest!(config, |(bytes in bytes)| (target.run)(&bytes));
}

macro_rules! look_around {
    ($($name:ident: $cases:literal,)*) => {
        $(#[test]
        fn $name() {
            let mut targets = TARGETS.into_iter();
            look_around(targets.find(|t| t.name == stringify!($name)).unwrap(), $cases);
        })*

        #[test]
        fn no_target_is_left_out() {
            let tested = BTreeSet::from([$(stringify!($name)),*]);
            assert_eq!(tested, TARGETS.iter().map(|target| target.name).collect());
        }
    };
}

look_around! {
    frames: 40_000,
    handshake: 40_000,
    membership: 40_000,
    snapshot_meta: 40_000,
    manifest: 40_000,
    step: 20_000,
    log: 5_000,
    snapshots: 5_000,
}

/// A reader that trusts a length, as all of these must not.
#[test]
fn a_trusting_reader_is_found() {
    let run = |bytes: &[u8]| {
        if let Some((&len, rest)) = bytes.split_first() {
            assert!(rest.len() >= usize::from(len), "it reads past the end");
        }
    };
    let trusting = Target { name: "trusting", run, seeds: || vec![b"\x03abc".to_vec()] };
    let found = std::panic::catch_unwind(|| look_around(trusting, 1_000));
    assert!(found.is_err());
}

#[test]
fn a_fuzzer_has_every_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/fuzz/fuzz_targets");
    let programs = std::fs::read_dir(root).unwrap().map(|file| {
        let path = file.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    });
    let names = TARGETS.iter().map(|target| target.name.to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), names.collect());
}
