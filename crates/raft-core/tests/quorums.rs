//! Who has won, and what is committed, case by case: `testdata/quorums.txt`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use raft_core::{NodeId, Quorum, VoteOutcome, Voters};

const CASES: &str = include_str!("../testdata/quorums.txt");

#[test]
fn every_quorum_decides_as_its_case_says() {
    let cases: Vec<_> = CASES.lines().filter(|line| line.contains("->")).collect();
    assert!(cases.len() > 100, "the file holds cases");
    for case in cases {
        let (left, expected) = case.split_once(" -> ").unwrap();
        let (quorum, values) = left.split_once(": ").unwrap();
        assert_eq!(found(&parse(quorum), values), expected, "{case}");
    }
}

fn parse(text: &str) -> Quorum {
    let voters = |ids: &str| Voters::new(ids.split(',').map(|id| id.parse().unwrap())).unwrap();
    match text.split_once(" & ") {
        None => Quorum::Majority(voters(text)),
        Some((incoming, outgoing)) => {
            Quorum::Joint { incoming: voters(incoming), outgoing: voters(outgoing) }
        }
    }
}

/// What `quorum` makes of one value for each of its voters: an index, or a vote.
fn found(quorum: &Quorum, values: &str) -> String {
    let mut ids: Vec<NodeId> = quorum.voters().collect();
    ids.sort_unstable();
    ids.dedup();
    let values: Vec<_> = values.split(' ').collect();
    assert_eq!(ids.len(), values.len(), "one value for each voter");
    let of: BTreeMap<_, _> = ids.into_iter().zip(values.iter().copied()).collect();
    if values.iter().any(|value| value.parse::<u64>().is_ok()) {
        return quorum.reached(|id| of[&id].parse::<u64>().unwrap_or_default()).to_string();
    }
    let vote = |id| match of[&id] {
        "y" => Some(true),
        "n" => Some(false),
        _ => None,
    };
    match quorum.tally(vote) {
        VoteOutcome::Won => "won".to_owned(),
        VoteOutcome::Lost => "lost".to_owned(),
        VoteOutcome::Pending if values.iter().all(|value| *value == "_") => {
            assert_eq!(quorum.reached(|_| 0_u64), 0, "nothing is reached without anybody");
            "pending or 0".to_owned()
        }
        VoteOutcome::Pending => "pending".to_owned(),
    }
}
