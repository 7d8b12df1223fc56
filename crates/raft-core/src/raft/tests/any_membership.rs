//! Every set of voters leads to every other one, by the public surface alone.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::cluster::*;
use crate::event::RoleKind;
use crate::membership::{Membership, MembershipChange};

const SERVERS: u64 = 4;

/// How new voters come in.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As learners first; then one change says what is wanted in the end.
    LearnersFirst,
    /// They are promoted by themselves, then the others go.
    ByThemselves,
}

#[test]
fn any_voters_lead_to_any_others_with_everything_that_was_committed() {
    for from in voter_sets() {
        for to in voter_sets().into_iter().filter(|to| *to != from) {
            replaced(&from, &to, Way::LearnersFirst);
            replaced(&from, &to, Way::ByThemselves);
        }
    }
}

fn replaced(from: &BTreeSet<u64>, to: &BTreeSet<u64>, way: Way) {
    let case = (from, to, way);
    let mut cluster = Cluster::of(of(from), |_| {});
    to.difference(from).for_each(|&id| cluster.join(id));
    cluster.elect(*from.first().unwrap());
    let old = leader(&cluster, from);
    cluster.propose(old, "before").unwrap();
    cluster.settle();

    let new = to.difference(from).copied().collect::<Vec<_>>();
    if !new.is_empty() {
        let add = |change: MembershipChange, &id: &u64| match way {
            Way::LearnersFirst => change.add_learner(n(id), ""),
            Way::ByThemselves => change.add_voter(n(id), ""),
        };
        cluster.change(old, &new.iter().fold(MembershipChange::new(), add)).unwrap();
        cluster.settle();
    }
    let wanted = MembershipChange::to(of(to));
    let in_force = cluster.raft(old).status().membership == &of(to);
    assert_eq!(cluster.change(old, &wanted).is_err(), in_force, "{case:?}");
    cluster.settle();

    let now = leader(&cluster, to);
    cluster.propose(now, "after").unwrap();
    cluster.settle();
    for &id in to {
        let (server, leader) = (cluster.server(id), cluster.server(now));
        assert_eq!(server.raft.status().membership, &of(to), "{case:?}");
        assert_eq!(server.log, leader.log, "{case:?}");
        assert_eq!(server.applied, last_of(&leader.log), "{case:?}");
    }
    for &id in from.difference(to) {
        cluster.silence();
        cluster.time_out_if_ever(id);
        cluster.settle();
        assert_eq!(cluster.role(id), RoleKind::Follower, "{case:?}");
    }
}

/// The one of them who leads.
fn leader(cluster: &Cluster, ids: &BTreeSet<u64>) -> u64 {
    let mut leaders = ids.iter().filter(|&&id| cluster.role(id) == RoleKind::Leader);
    let leader = *leaders.next().unwrap();
    assert_eq!(leaders.next(), None);
    leader
}

fn of(voters: &BTreeSet<u64>) -> Membership {
    Membership::of_voters(voters.iter().map(|&id| (n(id), ""))).unwrap()
}

/// All sets of servers but the empty one.
fn voter_sets() -> Vec<BTreeSet<u64>> {
    let of_bits = |bits: u64| (1..=SERVERS).filter(|id| bits & (1 << id) != 0).collect();
    (1..1 << SERVERS).map(|bits: u64| of_bits(bits << 1)).collect()
}
