//! What may be counted as committed (paper §5.4.2).

use alloc::vec::Vec;

use super::cluster::*;
use crate::event::RoleKind;
use crate::message::Body;
use crate::types::Term;

/// Figure 8 (c) of the paper: server 1 was leader in term 2, server 5 in term 3. Server 1 leads
/// again, in term 4, and has brought its entry of term 2 to a majority (1, 2, 3), but the first one
/// of its own term only to 2.
fn figure_8_c() -> Cluster {
    let logs = [[2].to_vec(), [2].to_vec(), Vec::new(), Vec::new(), [3].to_vec()];
    let configure = |config: &mut crate::Config| config.append_bytes_max = 1;
    let mut cluster = Cluster::with_logs(voters(5), Term::new(3), logs.into(), configure);
    cluster.isolate(5);
    cluster.silence();
    cluster.time_out(1);
    loop {
        (1..=5).for_each(|id| cluster.sync(id));
        let Some(message) = cluster.wire.pop_front() else { break };
        let has_entry_of_term_4 = if let Body::AppendEntries(m) = &message.body {
            m.entries.iter().any(|entry| entry.id.term == Term::new(4))
        } else {
            false
        };
        // Server 3 rejects it until it has the entry of term 2.
        let arrives = match message.to.get() {
            3 => !has_entry_of_term_4 || cluster.last(3) == i(1),
            4 => !has_entry_of_term_4,
            _ => true,
        };
        if arrives {
            cluster.deliver(message);
        }
    }
    cluster.heal();
    cluster
}

#[test]
fn an_entry_of_an_earlier_term_on_a_majority_is_not_committed_by_counting() {
    let cluster = figure_8_c();

    let holders = (1..=5).filter(|&s| cluster.raft(s).log_id_at(i(2)) == Some(id(2, 2)));
    assert_eq!(holders.collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!([2, 3].map(|s| cluster.matched(1, s)), [i(3), i(2)]);
    assert_eq!(cluster.commit(1), i(0));
}

/// Figure 8 (d): what was not committed may be lost.
#[test]
fn an_entry_of_an_earlier_term_on_a_majority_may_be_overwritten() {
    let mut cluster = figure_8_c();
    cluster.isolate(1);
    cluster.silence();
    // It learns of term 4 first.
    cluster.time_out(5);
    cluster.settle();
    cluster.elect(5);

    let heirs = (2..=5).filter(|&s| cluster.raft(s).log_id_at(i(2)) == Some(id(2, 3)));

    assert_eq!(heirs.count(), 4);
}

/// Figure 8 (e): an entry of the leader's own term commits those before it.
#[test]
fn an_entry_of_an_earlier_term_commits_with_the_first_one_of_the_leaders() {
    let mut cluster = figure_8_c();

    cluster.heartbeat(1);
    cluster.settle();

    assert_eq!(cluster.commit(1), i(3));
    assert_eq!(cluster.raft(5).log_id_at(i(2)), Some(id(2, 2)));
}

/// Leader Completeness, with the smallest quorum that could have committed.
#[test]
fn a_server_without_a_committed_entry_is_not_elected() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.part(1, 3);
    let committed = cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.commit(1), committed.index);
    cluster.isolate(1);
    cluster.cut.remove(&(n(2), n(3)));
    cluster.cut.remove(&(n(3), n(2)));

    cluster.silence();
    cluster.time_out(3);
    cluster.settle();
    assert_ne!(cluster.role(3), RoleKind::Leader);

    cluster.elect(2);
    assert_eq!(cluster.raft(3).log_id_at(committed.index), Some(committed));
}

#[test]
fn an_uncommitted_entry_of_a_deposed_leader_is_removed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    let lost = cluster.propose(1, "x").unwrap();
    cluster.elect(2);
    cluster.heal();

    cluster.heartbeat(2);
    cluster.settle();

    assert_ne!(cluster.raft(1).log_id_at(lost.index), Some(lost));
    assert_eq!(cluster.server(1).log, cluster.server(2).log);
}
