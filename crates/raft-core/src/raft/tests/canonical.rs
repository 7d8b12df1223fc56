//! Servers whose futures are the same become equal.

use core::time::Duration;

use super::cluster::{Cluster, heartbeat, id, n, request_vote, voters};
use crate::config::Config;
use crate::io::Input;
use crate::message::Message;
use crate::raft::Raft;
use crate::restored::Restored;
use crate::types::{Term, Timestamp};

/// Server 2 of three, which has voted in `votes` terms, the last of them 10.
fn voter(votes: u64) -> Raft {
    let restored = Restored::bootstrap(voters(3));
    let mut raft = Raft::new(Config::new(n(2)), restored, 7, Timestamp::default()).unwrap();
    let mut now = Timestamp::default();
    for term in 11 - votes..=10 {
        now = now.after(Duration::from_secs(5));
        let message =
            Message { from: n(1), to: n(2), term: Term::new(term), body: request_vote(id(1, 1)) };
        raft.step(now, Input::Message(message));
        while let Some(output) = raft.poll_output() {
            output.write.into_iter().for_each(|w| raft.step(now, Input::Persisted(w.seq)));
        }
    }
    raft
}

fn canonical(mut raft: Raft) -> Raft {
    raft.canonicalize();
    raft
}

#[test]
fn time_and_writes_that_passed_before_make_no_difference() {
    let (few, many) = (voter(1), voter(9));
    assert_ne!(few, many);

    assert_eq!(canonical(few), canonical(many));
}

#[test]
fn how_long_ago_a_leader_was_heard_makes_a_difference() {
    let mut cluster = Cluster::new(3);
    cluster.hear(2, 1, 2, heartbeat(1));
    cluster.sync(2);
    let now = canonical(cluster.raft(2).clone());
    cluster.pass(Duration::from_secs(1));
    cluster.hear(2, 3, 1, request_vote(id(1, 1)));

    assert_ne!(canonical(cluster.raft(2).clone()), now);
}

#[test]
fn the_future_stays_as_it_was() {
    let mut raft = voter(1);
    let silence = raft.next_deadline().since(Timestamp::from_micros(0));
    let mut moved = raft.clone();
    let now = moved.canonicalize();
    let waits = moved.next_deadline().since(now);
    assert!(waits > Duration::ZERO && waits <= silence, "{waits:?}");

    raft.step(raft.next_deadline(), Input::Timeout);
    moved.step(moved.next_deadline(), Input::Timeout);

    let sent = |raft: &mut Raft| raft.poll_output().map(|output| output.messages);
    assert_eq!(sent(&mut raft), sent(&mut moved));
}
