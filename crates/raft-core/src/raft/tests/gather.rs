//! Proposals gather while enough is under way.

use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::{Cluster, accepted, i};
use crate::message::Body;

/// A leader of three that has written and sent two entries, after which more gather; nobody has
/// answered.
fn busy_leader(configure: impl Fn(&mut crate::Config)) -> Cluster {
    let mut cluster = Cluster::with(3, |config| {
        config.gather_after_entries = 2;
        configure(config);
    });
    cluster.elect(1);
    for command in ["first", "second"] {
        cluster.propose(1, command).unwrap();
    }
    assert_eq!(appends(&mut cluster), [1, 1]);
    cluster.sync(1);
    cluster
}

/// How many entries each append to server 2 holds.
fn appends(cluster: &mut Cluster) -> Vec<usize> {
    let sent = cluster.sent(1, 2).into_iter();
    sent.filter_map(
        |body| if let Body::AppendEntries(m) = body { Some(m.entries.len()) } else { None },
    )
    .collect()
}

#[test]
fn what_is_proposed_while_enough_is_under_way_goes_in_one_message_to_all_when_that_is_committed() {
    let mut cluster = busy_leader(|_| {});
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).unwrap();
    }
    assert_eq!(appends(&mut cluster), []);

    // The one that is slow gets it at the same time.
    cluster.hear(1, 3, 2, accepted(4));

    assert_eq!(appends(&mut cluster), [3]);
}

#[test]
fn an_answer_that_leaves_little_under_way_is_enough() {
    let mut cluster = busy_leader(|_| {});
    cluster.propose(1, "a").unwrap();
    assert_eq!(appends(&mut cluster), []);

    cluster.hear(1, 2, 2, accepted(3));

    assert_eq!(cluster.matched(1, 2), i(3));
    assert_eq!(appends(&mut cluster), [1]);
}

#[test]
fn large_entries_do_not_gather() {
    let mut cluster = busy_leader(|config| config.gather_bytes_max = 1000);

    cluster.propose(1, "small").unwrap();
    assert_eq!(appends(&mut cluster), []);
    cluster.propose(1, &String::from("x").repeat(1000)).unwrap();

    assert_eq!(appends(&mut cluster), [2]);
}

#[test]
fn nothing_gathers_if_that_is_turned_off() {
    let mut cluster = busy_leader(|config| config.gather_bytes_max = 0);

    for command in ["a", "b"] {
        cluster.propose(1, command).unwrap();
    }

    assert_eq!(appends(&mut cluster), [1, 1]);
    assert!(!cluster.raft(1).is_gathering());
}

#[test]
fn a_driver_may_keep_proposals_back_only_while_enough_is_under_way() {
    let mut cluster = Cluster::with(3, |config| config.gather_after_entries = 2);
    assert!(!cluster.raft(1).is_gathering());
    cluster.elect(1);
    assert!(!cluster.raft(1).is_gathering());

    cluster.propose(1, "first").unwrap();
    assert!(!cluster.raft(1).is_gathering());
    cluster.propose(1, "second").unwrap();
    assert!(cluster.raft(1).is_gathering());

    cluster.sync(1);
    assert!(cluster.raft(1).is_gathering());
    cluster.hear(1, 2, 2, accepted(3));
    assert!(!cluster.raft(1).is_gathering());
}
