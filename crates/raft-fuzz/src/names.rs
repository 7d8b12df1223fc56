//! Who takes part, in all targets.

use raft_core::{ClusterId, GroupId, LogId, LogIndex, Membership, NodeId, Term};
use raft_net::Route;

pub(crate) const CLUSTER: ClusterId = ClusterId::new(*b"sixteen bytes id");

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("targets use ids above zero")
}

pub(crate) fn log_id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

/// What node 2 sends to node 1.
pub(crate) fn route(from: u64) -> Route {
    Route { cluster: CLUSTER, group: GroupId::FIRST, from: node(from), to: node(1) }
}

/// Three voters with addresses.
pub(crate) fn three() -> Membership {
    let members = [1, 2, 3].map(|id| (node(id), format!("host-{id}:7000")));
    Membership::of_voters(members).expect("it has voters")
}
