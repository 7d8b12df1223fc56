//! What must hold in every state (paper Figure 3), and what must be remembered to see that it does.

use std::fmt;

use raft_core::{
    Entry, EntryPayload, LogId, LogIndex, Membership, NodeId, Quorum, RoleKind, Term, Voters,
};

use crate::local::View;

/// What has happened that no state of the servers shows.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct History {
    /// Who has led in which term, in order of terms.
    leaders: Vec<(Term, NodeId)>,
    /// All that was ever known to be committed, from index 1, and the first term in which somebody
    /// knew it.
    committed: Vec<(Entry, Term)>,
}

/// A rule of Raft that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// Two servers have led in one term.
    ElectionSafety {
        /// The term.
        term: Term,
        /// Its leaders.
        leaders: [NodeId; 2],
    },
    /// A leader lacks an entry that was committed before its term.
    LeaderCompleteness {
        /// The leader.
        leader: NodeId,
        /// The entry.
        entry: LogId,
    },
    /// Different entries are committed at one index.
    StateMachineSafety {
        /// Who has committed another entry than somebody before.
        server: NodeId,
        /// Where.
        index: LogIndex,
    },
    /// Two logs with the same entry at an index differ before it.
    LogMatching {
        /// Whose logs.
        servers: [NodeId; 2],
        /// Up to where they should be equal.
        upto: LogIndex,
    },
    /// An entry is committed that the disks of no quorum hold.
    CommittedButNotDurable {
        /// The entry.
        entry: LogId,
        /// On how many disks it is.
        disks: usize,
    },
    /// A server's own check failed, or it refused what it wrote itself.
    Broken {
        /// What it said.
        said: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ElectionSafety { term, leaders: [a, b] } => {
                write!(f, "election safety: {a} and {b} have led in term {term}")
            }
            Self::LeaderCompleteness { leader, entry } => {
                write!(
                    f,
                    "leader completeness: {leader} leads without the committed entry {entry:?}"
                )
            }
            Self::StateMachineSafety { server, index } => {
                write!(f, "state machine safety: {server} has committed another entry at {index}")
            }
            Self::LogMatching { servers: [a, b], upto } => {
                write!(f, "log matching: the logs of {a} and {b} differ before {upto}")
            }
            Self::CommittedButNotDurable { entry, disks } => {
                write!(f, "durability: {entry:?} is committed and on {disks} disks only")
            }
            Self::Broken { said } => write!(f, "invariant: {said}"),
        }
    }
}

impl History {
    /// Whether `view` shows nothing new, and nothing wrong.
    pub(crate) fn knows(&self, view: &View) -> bool {
        let leads = view.role == Some(RoleKind::Leader);
        let leader_known =
            !leads || self.leaders.contains(&(view.term, view.id)) && self.missing(view).is_none();
        let committed = view.log.iter().take_while(|entry| entry.id.index <= view.commit);
        let known = |(at, entry): (usize, &Entry)| {
            let known = self.committed.get(at);
            known.is_some_and(|(known, known_in)| known == entry && *known_in <= view.term)
        };
        leader_known && committed.enumerate().all(known)
    }

    /// The first entry that a leader of this term should have and has not.
    fn missing(&self, view: &View) -> Option<LogId> {
        let mut older = self.committed.iter().filter(|(_, known_in)| *known_in < view.term);
        older.find(|(entry, _)| !view.log.contains(entry)).map(|(entry, _)| entry.id)
    }

    /// Takes note of what `view`, one of `all`, shows.
    pub(crate) fn record(&mut self, view: &View, all: &[&View]) -> Result<(), Violation> {
        if view.role == Some(RoleKind::Leader) {
            self.record_leader(view)?;
        }
        self.record_commit(view, all)
    }

    fn record_leader(&mut self, view: &View) -> Result<(), Violation> {
        match self.leaders.binary_search_by_key(&view.term, |&(term, _)| term) {
            Err(at) => self.leaders.insert(at, (view.term, view.id)),
            Ok(at) => {
                let before = self.leaders.get(at).map_or(view.id, |&(_, leader)| leader);
                if before != view.id {
                    let (term, leaders) = (view.term, [before, view.id]);
                    return Err(Violation::ElectionSafety { term, leaders });
                }
            }
        }
        match self.missing(view) {
            Some(entry) => Err(Violation::LeaderCompleteness { leader: view.id, entry }),
            None => Ok(()),
        }
    }

    fn record_commit(&mut self, view: &View, all: &[&View]) -> Result<(), Violation> {
        let committed = view.log.iter().take_while(|entry| entry.id.index <= view.commit);
        for (at, entry) in committed.enumerate() {
            match self.committed.get_mut(at) {
                Some((known, known_in)) if known == entry => {
                    *known_in = (*known_in).min(view.term);
                }
                Some(_) => {
                    let index = entry.id.index;
                    return Err(Violation::StateMachineSafety { server: view.id, index });
                }
                None => {
                    check_durable(entry, view, all)?;
                    self.committed.push((entry.clone(), view.term));
                }
            }
        }
        Ok(())
    }
}

/// Whoever is the first to know an entry to be committed knows it from a quorum of the membership
/// that was the newest in its log: the one of the entry, or a later one. Which one cannot be seen,
/// because what is committed lets a leader append the next one in the same step.
fn check_durable(entry: &Entry, first: &View, all: &[&View]) -> Result<(), Violation> {
    let has = |id| all.iter().any(|view| view.id == id && view.durable.contains(&entry.id));
    let disks = all.iter().filter(|view| has(view.id)).count();
    // Counted here, not by the core.
    let majority =
        |voters: &Voters| 2 * voters.iter().filter(|&id| has(id)).count() > voters.count();
    let quorum = |membership: &Membership| match membership.quorum() {
        Quorum::Majority(voters) => majority(voters),
        Quorum::Joint { incoming, outgoing } => majority(incoming) && majority(outgoing),
    };
    if memberships_since(entry.id.index, &first.log).any(quorum) {
        Ok(())
    } else {
        Err(Violation::CommittedButNotDurable { entry: entry.id, disks })
    }
}

/// The membership in force at `index`, and all later ones.
fn memberships_since(index: LogIndex, log: &[Entry]) -> impl Iterator<Item = &Membership> {
    let membership = |entry: &Entry| matches!(entry.payload, EntryPayload::Membership(_));
    let in_force = log.iter().rposition(|entry| membership(entry) && entry.id.index <= index);
    log.iter().skip(in_force.unwrap_or(0)).filter_map(|entry| match &entry.payload {
        EntryPayload::Membership(membership) => Some(&**membership),
        EntryPayload::Command(_) | EntryPayload::Noop => None,
    })
}

/// If two logs have an entry in common, they are equal up to there.
pub(crate) fn check_matching(a: &View, b: &View) -> Result<(), Violation> {
    let both = a.log.iter().zip(&b.log);
    let same = |(a, b): &(&Entry, &Entry)| a.id == b.id;
    let last_common = both.clone().filter(same).last().map(|(a, _)| a.id.index);
    let Some(upto) = last_common else { return Ok(()) };
    let equal = both.take_while(|(a, _)| a.id.index <= upto).all(|(a, b)| a == b);
    if equal { Ok(()) } else { Err(Violation::LogMatching { servers: [a.id, b.id], upto }) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;

    use super::*;

    fn n(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    /// The first one makes three servers voters.
    fn entry(index: u64, term: u64) -> Entry {
        let id = LogId::new(Term::new(term), LogIndex::new(index));
        let payload = match index {
            1 => membership(Quorum::Majority(Voters::new([1, 2, 3].map(n)).unwrap())),
            _ => EntryPayload::Command(Bytes::new()),
        };
        Entry { id, payload }
    }

    fn membership(quorum: Quorum) -> EntryPayload {
        let membership = Membership::new(quorum, BTreeSet::new(), BTreeMap::new()).unwrap();
        EntryPayload::Membership(Box::new(membership))
    }

    /// A server whose log has these terms, all durable, the first `commit` of them committed.
    fn server(id: u64, role: RoleKind, term: u64, terms: &[u64], commit: u64) -> View {
        let log: Vec<_> = (1..).zip(terms).map(|(index, &term)| entry(index, term)).collect();
        View {
            id: n(id),
            role: Some(role),
            term: Term::new(term),
            commit: LogIndex::new(commit),
            durable: log.iter().map(|entry| entry.id).collect(),
            log,
        }
    }

    /// What comes of looking at these servers one after the other.
    fn look(servers: &[View]) -> Result<History, Violation> {
        let all: Vec<_> = servers.iter().collect();
        let mut history = History::default();
        servers.iter().try_for_each(|view| history.record(view, &all))?;
        assert!(servers.iter().all(|view| history.knows(view)));
        Ok(history)
    }

    #[test]
    fn two_leaders_of_one_term_are_seen_even_if_they_never_meet() {
        let mut history = look(&[server(1, RoleKind::Leader, 2, &[], 0)]).unwrap();
        let second = server(2, RoleKind::Leader, 2, &[], 0);

        assert!(!history.knows(&second));
        assert!(matches!(history.record(&second, &[]), Err(Violation::ElectionSafety { .. })));
    }

    #[test]
    fn a_leader_without_a_committed_entry_is_seen() {
        let voter = server(1, RoleKind::Follower, 2, &[1, 2], 2);
        let other = server(2, RoleKind::Follower, 2, &[1, 2], 0);
        let leader = server(3, RoleKind::Leader, 3, &[1], 0);

        let found = look(&[voter, other, leader]).unwrap_err();

        assert_eq!(found, Violation::LeaderCompleteness { leader: n(3), entry: entry(2, 2).id });
    }

    #[test]
    fn a_leader_of_an_earlier_term_may_lack_what_was_committed_since() {
        let voters = [1, 2].map(|id| server(id, RoleKind::Follower, 3, &[1, 3], 2));
        let [one, two] = voters;

        assert!(look(&[one, two, server(3, RoleKind::Leader, 2, &[1], 0)]).is_ok());
    }

    #[test]
    fn two_entries_committed_at_one_index_are_seen() {
        let one = server(1, RoleKind::Follower, 3, &[1, 2], 2);
        let two = server(2, RoleKind::Follower, 3, &[1, 2], 0);
        let three = server(3, RoleKind::Follower, 3, &[1, 3], 2);

        let found = look(&[one, two, three]).unwrap_err();

        assert!(matches!(found, Violation::StateMachineSafety { .. }), "{found}");
    }

    #[test]
    fn what_is_committed_and_on_too_few_disks_is_seen() {
        let one = server(1, RoleKind::Leader, 1, &[1], 1);
        let mut two = server(2, RoleKind::Follower, 1, &[1], 0);
        two.durable.clear();

        let found = look(&[one, two]).unwrap_err();

        let entry = entry(1, 1).id;
        assert_eq!(found, Violation::CommittedButNotDurable { entry, disks: 1 });
    }

    #[test]
    fn a_joint_membership_needs_both_majorities() {
        let of = |ids: [u64; 2]| Voters::new(ids.map(n)).unwrap();
        let joint = Quorum::Joint { incoming: of([1, 2]), outgoing: of([2, 3]) };
        let mut servers = [1, 2, 3].map(|id| server(id, RoleKind::Follower, 1, &[1, 1], 0));
        for view in &mut servers {
            view.log[1].payload = membership(joint.clone());
        }
        servers[0].commit = LogIndex::new(2);
        assert!(look(&servers).is_ok());

        servers[2].durable.clear();

        let found = look(&servers).unwrap_err();
        assert!(matches!(found, Violation::CommittedButNotDurable { disks: 2, .. }), "{found}");
    }

    #[test]
    fn logs_that_differ_before_a_common_entry_are_seen() {
        let one = server(1, RoleKind::Follower, 3, &[1, 1, 3], 0);
        let two = server(2, RoleKind::Follower, 3, &[1, 2, 3], 0);
        let three = server(3, RoleKind::Follower, 3, &[1, 1, 2], 0);

        assert!(matches!(check_matching(&one, &two), Err(Violation::LogMatching { .. })));
        assert_eq!(check_matching(&one, &three), Ok(()));
    }
}
