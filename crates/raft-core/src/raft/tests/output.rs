//! How work is taken out.

use alloc::vec::Vec;

use bytes::Bytes;

use super::cluster::{Cluster, accepted, n};
use crate::io::{Input, Output};
use crate::message::Message;
use crate::raft::Raft;
use crate::types::Timestamp;

/// The leader of three, and what happens to it.
fn leader() -> (Raft, Vec<Input>) {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let raft = cluster.raft(1).clone();
    let term = raft.status().hard_state.term;
    let answer = |from, matched| {
        Input::Message(Message { from: n(from), to: n(1), term, body: accepted(matched) })
    };
    let inputs = Vec::from([answer(2, 2), answer(3, 99), Input::Timeout, answer(3, 3)]);
    (raft, inputs)
}

#[test]
fn an_output_that_is_used_again_is_as_a_new_one() {
    let (mut new, inputs) = leader();
    let mut again = new.clone();
    let mut output = Output::default();
    let mut now = Timestamp::default();
    for input in inputs {
        for raft in [&mut new, &mut again] {
            now = now.max(raft.next_deadline());
            raft.propose(now, Bytes::from_static(b"x")).unwrap();
            raft.step(now, input.clone());
        }
        while let Some(expected) = new.poll_output() {
            assert!(again.poll_into(&mut output));
            assert_eq!(output, expected);
            let seqs = expected.write.map(|write| write.seq);
            for raft in [&mut new, &mut again] {
                seqs.iter().for_each(|seq| raft.step(now, Input::Persisted(*seq)));
            }
        }
        assert!(!again.poll_into(&mut output));
        assert_eq!(again, new);
    }
}

#[test]
fn an_empty_batch_is_not_written() {
    let (mut raft, _) = leader();

    raft.propose_batch(Timestamp::default(), []).unwrap();

    assert_eq!(raft.poll_output(), None);
}
