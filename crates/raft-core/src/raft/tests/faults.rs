//! A log that starts after a base, and a configuration at its bounds.

use alloc::vec::Vec;
use core::time::Duration;

use super::cluster::*;
use crate::config::Config;
use crate::event::PeerFault;
use crate::io::{Input, Output};
use crate::message::{AppendReply, Body, Message};
use crate::raft::Raft;
use crate::restored::{OnLoss, RestoreError, Restored};
use crate::snapshot::SnapshotMeta;
use crate::types::{Entry, HardState, Term, Timestamp};

/// A follower whose log was compacted up to 10, of term 3, and ends at 12.
fn compacted() -> Raft {
    let restored = Restored {
        hard_state: HardState { term: Term::new(4), vote: None },
        base: id(10, 3),
        term_starts: Vec::from([id(11, 3), id(12, 4)]),
        last: id(12, 4),
        tail: Vec::new(),
        memberships: Vec::new(),
        faulty: Vec::new(),
        is_in_doubt: false,
        on_loss: OnLoss::Refuse,
        snapshot: Some(SnapshotMeta {
            last: id(10, 3),
            membership_id: id(1, 1),
            membership: voters(3),
        }),
    };
    Raft::new(Config::new(n(1)), restored, 1, Timestamp::default()).unwrap()
}

/// What comes out when a leader of term 5 appends `entries` after `prev`.
fn heard(raft: &mut Raft, prev: crate::LogId, entries: impl IntoIterator<Item = Entry>) -> Output {
    let body = append(prev, entries, i(0));
    let message = Message { from: n(2), to: n(1), term: Term::new(5), body };
    raft.step(Timestamp::default(), Input::Message(message));
    let output = raft.poll_output().unwrap();
    let seq = output.write.as_ref().unwrap().seq;
    raft.step(Timestamp::default(), Input::Persisted(seq));
    Output { messages: raft.poll_output().unwrap_or_default().messages, ..output }
}

#[test]
fn what_lies_below_the_base_is_committed_and_taken_for_equal() {
    let mut raft = compacted();

    let output = heard(&mut raft, id(8, 2), [entry(9, 2), entry(10, 3), entry(11, 3)]);

    let reply = AppendReply::Accepted { matched: i(11) };
    assert_eq!(output.messages[0].body, Body::AppendReply(reply));
    assert_eq!(raft.status().last, id(12, 4));
}

#[test]
fn entries_continue_a_compacted_log() {
    let mut raft = compacted();

    let _output = heard(&mut raft, id(12, 4), [entry(13, 5)]);

    assert_eq!(raft.status().last, id(13, 5));
}

#[test]
fn entries_that_differ_at_the_base_are_a_conflict_with_committed_ones() {
    let mut raft = compacted();

    let output = heard(&mut raft, id(9, 1), [entry(10, 1), entry(11, 1)]);

    let faulted = |fault| crate::Event::PeerFaulted { peer: n(2), fault };
    assert!(output.events.contains(&faulted(PeerFault::ConflictsWithCommitted)));
    assert_eq!(raft.status().last, id(12, 4));
}

#[test]
fn a_probe_at_the_base_that_differs_is_rejected() {
    let mut raft = compacted();

    let output = heard(&mut raft, id(10, 2), []);

    let reply = AppendReply::Rejected { prev: i(10), hint: id(10, 3) };
    assert_eq!(output.messages[0].body, Body::AppendReply(reply));
}

#[test]
fn a_membership_after_the_end_of_the_log_is_refused() {
    let entries = Restored::bootstrap(voters(3)).tail;
    let hard_state = HardState { term: Term::new(1), vote: None };
    let mut restored = Restored::from_entries(hard_state, entries).unwrap();
    restored.memberships.push((id(7, 1), voters(5)));

    let refused = Raft::new(Config::new(n(1)), restored, 1, Timestamp::default());

    assert!(matches!(refused, Err(RestoreError::Inconsistent { .. })));
}

#[test]
fn the_longest_timeouts_are_no_reason_to_panic() {
    let mut config = Config::new(n(1));
    config.election_timeout = Duration::MAX;
    let restored = Restored::bootstrap(voters(3));

    let raft = Raft::new(config, restored, 1, Timestamp::default()).unwrap();

    assert_eq!(raft.next_deadline(), Timestamp::NEVER);
}
