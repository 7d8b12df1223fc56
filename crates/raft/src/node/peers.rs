//! Whom a node is connected with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::{LogId, LogIndex, Membership, NodeId};

/// The members that the log names, and who else may have to be heard.
///
/// Those of the membership before the newest one stay: who was removed is to hear of it. Of those
/// that were given at the start, the ones that no membership has named yet stay as well: a node
/// that catches up passes through memberships of the past, and needs a leader who is in none of
/// them. So do strangers who have called while nobody was heard who leads: all who were known may be
/// gone.
#[derive(Debug)]
pub(super) struct Peers {
    id: NodeId,
    given: Option<Membership>,
    strangers: BTreeMap<NodeId, SocketAddr>,
    named: BTreeSet<NodeId>,
    newest: (LogId, Arc<Membership>),
    before: Option<Arc<Membership>>,
}

impl Peers {
    /// The peers of node `id`, to whom `given` was said; `known` are the memberships of its log, the
    /// oldest first, and `None` if there is none.
    pub(super) fn new<'a>(
        id: NodeId,
        given: Option<Membership>,
        known: impl Iterator<Item = (LogId, &'a Membership)>,
    ) -> Option<Self> {
        let mut peers: Option<Self> = None;
        for (at, membership) in known {
            let membership = Arc::new(membership.clone());
            match &mut peers {
                Some(peers) => peers.take(at, membership),
                None => {
                    let named = named_by(at, &membership).collect();
                    let newest = (at, membership);
                    let given = given.clone();
                    let strangers = BTreeMap::new();
                    peers = Some(Self { id, given, strangers, named, newest, before: None });
                }
            }
        }
        peers
    }

    /// Takes the news which membership is the newest; gives the peers, if they may be others.
    pub(super) fn update(
        &mut self,
        at: LogId,
        membership: &Arc<Membership>,
    ) -> Option<BTreeMap<NodeId, String>> {
        if self.newest.0 == at {
            return None;
        }
        self.take(at, Arc::clone(membership));
        Some(self.addresses())
    }

    /// Takes a stranger who called from `address`, unless some `leader` is known or there are too many
    /// strangers; gives the peers if it did.
    ///
    /// A node that hears no leader may know none of those who are members now: they have taken the
    /// place of all it knew, while it was away or before it came.
    pub(super) fn welcome(
        &mut self,
        id: NodeId,
        address: SocketAddr,
        leader: Option<NodeId>,
    ) -> Option<BTreeMap<NodeId, String>> {
        /// More than a cluster has members.
        const STRANGERS_MAX: usize = 16;
        let has_room = self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(&id);
        (leader.is_none() && has_room).then(|| {
            self.strangers.insert(id, address);
            self.addresses()
        })
    }

    /// Everybody to connect with, and where they listen.
    pub(super) fn addresses(&self) -> BTreeMap<NodeId, String> {
        let mut addresses = BTreeMap::new();
        let mut add = |membership: &Membership, id: NodeId| {
            let address = membership.address(id).unwrap_or_default();
            if id != self.id {
                addresses.entry(id).or_insert_with(|| address.to_owned());
            }
        };
        let (at, newest) = &self.newest;
        if let Some(given) = &self.given {
            // As long as the founders are the members, what is given is newer than the log.
            let counts = |id: &NodeId| !self.named.contains(id) || is_founding(*at);
            given.members().filter(counts).for_each(|id| add(given, id));
        }
        newest.members().for_each(|id| add(newest, id));
        if let Some(before) = &self.before {
            before.members().for_each(|id| add(before, id));
        }
        for (id, address) in &self.strangers {
            addresses.entry(*id).or_insert_with(|| address.to_string());
        }
        addresses
    }

    fn take(&mut self, at: LogId, membership: Arc<Membership>) {
        self.named.extend(named_by(at, &membership));
        self.strangers.retain(|id, _| !membership.contains(*id));
        let (_, before) = std::mem::replace(&mut self.newest, (at, membership));
        self.before = Some(before);
    }
}

/// Whom the log names with a membership; what a node that joins was given is not in the log.
fn named_by(at: LogId, membership: &Membership) -> impl Iterator<Item = NodeId> {
    membership.members().filter(move |_| at != LogId::ZERO)
}

/// Whether the entry of a membership is the first of all.
pub(super) fn is_founding(at: LogId) -> bool {
    at.index <= LogIndex::new(1)
}

#[cfg(test)]
mod tests {
    use raft_core::Term;

    use super::*;

    fn n(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    fn at(index: u64) -> LogId {
        LogId::new(Term::new(1), LogIndex::new(index))
    }

    fn members(ids: &[u64], port: u64) -> Membership {
        let voters = ids.iter().map(|&id| (n(id), format!("{id}:{port}")));
        Membership::of_voters(voters).expect("somebody")
    }

    fn peers(given: &[u64], log: &[(u64, &[u64])]) -> Peers {
        let log: Vec<_> = log.iter().map(|(index, ids)| (*index, members(ids, 1))).collect();
        let known = log.iter().map(|(index, membership)| {
            (if *index == 0 { LogId::ZERO } else { at(*index) }, membership)
        });
        Peers::new(n(1), Some(members(given, 2)), known).expect("a membership")
    }

    fn ids(addresses: &BTreeMap<NodeId, String>) -> Vec<u64> {
        addresses.keys().map(|id| id.get()).collect()
    }

    #[test]
    fn founders_are_found_where_they_were_said_to_be() {
        let addresses = peers(&[1, 2, 3], &[(1, &[1, 2, 3])]).addresses();

        assert_eq!(addresses, [(n(2), "2:2".to_owned()), (n(3), "3:2".to_owned())].into());
    }

    #[test]
    fn after_a_change_members_are_found_where_the_log_says() {
        let mut peers = peers(&[1, 2, 3], &[(1, &[1, 2, 3])]);

        let changed = peers.update(at(9), &Arc::new(members(&[1, 2, 3, 4], 3)));

        let changed = changed.expect("others");
        assert_eq!(changed.get(&n(2)).map(String::as_str), Some("2:3"));
        assert_eq!(ids(&changed), [2, 3, 4]);
        assert_eq!(peers.update(at(9), &Arc::new(members(&[1, 2, 3, 4], 3))), None);
    }

    #[test]
    fn who_is_removed_stays_until_the_change_after() {
        let mut peers = peers(&[1, 2, 3], &[(1, &[1, 2, 3])]);

        let removed = peers.update(at(5), &Arc::new(members(&[1, 2], 1))).expect("others");
        let later = peers.update(at(6), &Arc::new(members(&[1, 2, 4], 1))).expect("others");

        assert_eq!((ids(&removed), ids(&later)), (vec![2, 3], vec![2, 4]));
    }

    #[test]
    fn a_stranger_is_heard_until_the_log_names_it() {
        let log: [(u64, &[u64]); 4] =
            [(1, &[1, 2, 3]), (2, &[1, 2, 3, 4]), (3, &[1, 2, 3]), (4, &[1, 2])];
        let mut peers = peers(&[2, 3], &log);
        let address = "127.0.0.1:9".parse().expect("an address");

        let welcomed = peers.welcome(n(4), address, None).expect("room");
        let still = peers.update(at(5), &Arc::new(members(&[1, 2, 5], 1))).expect("others");
        peers.update(at(6), &Arc::new(members(&[1, 2, 5, 4], 1))).expect("others");
        peers.update(at(7), &Arc::new(members(&[1, 2], 1))).expect("others");
        let gone = peers.update(at(8), &Arc::new(members(&[1, 2, 6], 1))).expect("others");

        assert_eq!(welcomed.get(&n(4)).map(String::as_str), Some("127.0.0.1:9"));
        assert_eq!((ids(&still), ids(&gone)), (vec![2, 4, 5], vec![2, 6]));
    }

    #[test]
    fn strangers_are_not_more_than_some() {
        let mut peers = peers(&[2, 3], &[(1, &[1, 2, 3])]);
        let address = "127.0.0.1:9".parse().expect("an address");

        let welcomed =
            (10..100).filter(|id| peers.welcome(n(*id), address, None).is_some()).count();

        assert_eq!(welcomed, 16);
        assert!(peers.welcome(n(10), address, None).is_some(), "it may have moved");
    }

    #[test]
    fn strangers_are_turned_away_while_there_is_a_leader() {
        let mut peers = peers(&[2, 3], &[(1, &[1, 2, 3])]);
        let address = "127.0.0.1:9".parse().expect("an address");

        assert_eq!(peers.welcome(n(4), address, Some(n(2))), None);
        assert_eq!(ids(&peers.addresses()), [2, 3]);
    }

    #[test]
    fn a_leader_that_is_in_no_membership_of_the_past_is_heard_until_one_names_it() {
        let mut peers = peers(&[5, 6], &[(0, &[5, 6])]);

        let founding = peers.update(at(1), &Arc::new(members(&[2, 3], 1))).expect("others");
        let then = peers.update(at(2), &Arc::new(members(&[2, 3, 5], 1))).expect("others");
        peers.update(at(3), &Arc::new(members(&[2, 3], 1))).expect("others");
        let gone = peers.update(at(4), &Arc::new(members(&[2, 3, 4], 1))).expect("others");

        assert_eq!(ids(&founding), [2, 3, 5, 6]);
        assert_eq!(ids(&then), [2, 3, 5, 6]);
        assert_eq!(ids(&gone), [2, 3, 4, 6]);
    }
}
