//! Nodes whose files are damaged while they are down.
//!
//! Whatever it is, the other nodes go on. The node itself has everything that was acknowledged, or
//! says in one sentence what is wrong and does not start.
#![cfg(feature = "persistence")]

use std::fs;
use std::path::{Path, PathBuf};

use raft::transport::MemoryNetwork;
use raft::{OnLoss, StartError};

use crate::common::nodes::*;

fn segments(nodes: &Nodes) -> Vec<(PathBuf, usize)> {
    let segments: Vec<_> =
        used_files(nodes).into_iter().filter(|(file, _)| is_segment(file)).collect();
    assert!(segments.len() >= 3, "{segments:?}");
    segments
}

#[tokio::test]
async fn damage_anywhere_in_a_log_is_mended_from_others_or_named() {
    let nodes = Nodes::written(3).await;
    let segments = segments(&nodes);
    let mut tally = Tally::default();
    for (seed, (file, used)) in (1..).zip(segments.iter().cycle().take(15 * segments.len())) {
        let harm = Chance(seed).harm(*used);
        try_harm(&nodes, file, harm, &mut tally).await;
    }
    assert!(tally.mended > 3 * tally.refused, "{tally:?}");
}

#[tokio::test]
async fn damage_to_what_holds_a_log_together_is_mended_or_named() {
    let nodes = Nodes::written(3).await;
    let mut tally = Tally::default();
    for (file, used) in segments(&nodes) {
        let blocks = [0, PAGE, used - PAGE, used - 1].map(Harm::ZeroPage);
        let bits = [1, 20, PAGE + 4, PAGE + 30, PAGE + 70, PAGE + 100, used - 1, used - PAGE + 8];
        for harm in blocks.into_iter().chain(bits.map(Harm::FlipBit)) {
            try_harm(&nodes, &file, harm, &mut tally).await;
        }
    }
    assert!(tally.mended > 0 && tally.refused > 0, "{tally:?}");
}

/// Where the batches of a file begin.
fn batches(file: &Path) -> Vec<usize> {
    let bytes = fs::read(file).unwrap();
    (PAGE..bytes.len() - 8).step_by(8).filter(|at| bytes[*at..].starts_with(b"RWB1")).collect()
}

#[tokio::test]
async fn damage_to_batches_is_mended_or_named() {
    let nodes = Nodes::written(3).await;
    let mut tally = Tally::default();
    for (file, _) in segments(&nodes) {
        let batches = batches(&nodes.dir(3).join(&file));
        assert!(batches.len() > 5);
        let some = batches.iter().step_by(batches.len() / 4).chain(batches.iter().rev().take(3));
        for batch in some {
            // Within its header, and within its table.
            for at in [batch + 16, batch + 70] {
                try_harm(&nodes, &file, Harm::FlipBit(at), &mut tally).await;
            }
        }
    }
    assert!(tally.mended > tally.refused, "{tally:?}");
}

#[tokio::test]
async fn files_that_are_missing_or_say_nothing_are_named() {
    let nodes = Nodes::written(3).await;
    let mut tally = Tally::default();
    for (file, _) in segments(&nodes) {
        try_harm(&nodes, &file, Harm::Remove, &mut tally).await;
    }
    for harm in [Harm::FlipBit(1), Harm::FlipBit(30), Harm::ZeroPage(0), Harm::Remove] {
        try_harm(&nodes, Path::new("IDENT"), harm, &mut tally).await;
    }
    assert_eq!(tally.mended, 0, "{tally:?}");
}

#[tokio::test]
async fn a_node_that_is_alone_says_exactly_what_is_lost_unless_that_is_accepted() {
    let nodes = Nodes::written(1).await;
    let network = MemoryNetwork::new();
    let first = files(&nodes.dir(1)).into_iter().find(|file| is_segment(file)).unwrap();
    let at = used(&first) / 2;
    assert!(Harm::FlipBit(at).to(&first));
    let start = || nodes.builder(1, &network).start(List::default());

    let refused = start().await.unwrap_err();
    let again = start().await.unwrap_err();

    let StartError::EntriesLost { lost, .. } = &refused else { panic!("{refused}") };
    let [lost] = lost.as_slice() else { panic!("{refused}") };
    let (from, name) = (lost.first.get(), first.file_name().unwrap().to_string_lossy());
    let said = refused.to_string();
    assert!(said.starts_with(&format!("entry {from} of the log cannot be read")), "{said}");
    assert!(said.contains(&*name) && said.contains(" byte "), "{said}");
    assert!(matches!(&again, StartError::EntriesLost { .. }), "{again}");
    assert!(again.to_string().contains(&*name), "{again}");

    let node = nodes.builder(1, &network).on_loss(OnLoss::Accept).start(List::default()).await;
    let node = node.unwrap();
    let read = node.read(()).await.unwrap();
    assert!(nodes.acknowledged.starts_with(&read), "{read:?}");
    assert!(read.len() > 5 && read.len() < 40, "{read:?}");
    node.propose(command(99, 10)).await.unwrap();
    node.shutdown().await.unwrap();
    let node = start().await.unwrap();
    assert_eq!(node.read(()).await.unwrap(), [read, vec![99]].concat());
}

#[tokio::test]
async fn the_first_entry_of_a_node_that_is_alone_is_written_again() {
    let nodes = Nodes::written(1).await;
    let network = MemoryNetwork::new();
    let first = files(&nodes.dir(1)).into_iter().find(|file| is_segment(file)).unwrap();
    let bytes = fs::read(&first).unwrap();
    let founding = batches(&first).into_iter().find(|at| *at > PAGE).unwrap();
    let next = batches(&first).into_iter().find(|at| *at > founding).unwrap();
    // Its members are what it ends with.
    let last = bytes[founding..next].iter().rposition(|byte| *byte != 0).unwrap();
    assert!(Harm::FlipBit(founding + last).to(&first));

    for _ in 0..2 {
        let node = nodes.builder(1, &network).start(List::default()).await.unwrap();
        assert_eq!(node.read(()).await.unwrap(), nodes.acknowledged);
        node.shutdown().await.unwrap();
    }
}
