//! What a cluster may do, and how much of it.

use std::time::Duration;

use raft_core::{Config, Membership, MembershipChange, NodeId, Raft, Term, Timestamp};

/// A cluster, and the bounds within which everything is tried.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it looks at.
    pub about: &'static str,
    /// How many servers there are.
    pub servers: u64,
    /// How many servers, from the first on, are the voters of the first membership. The others know
    /// of it, and have nothing else.
    pub founders: u64,
    /// How many servers, from the first on, ever lose patience with a leader.
    pub impatient: u64,
    /// No server enters a later term.
    pub term_max: u64,
    /// Commands that clients propose, all together.
    pub proposals: u8,
    /// Crashes of servers, all together.
    pub crashes: u8,
    /// Messages that arrive twice, all together.
    pub duplicates: u8,
    /// Messages under way at one time. Any of them may be lost at any time.
    pub in_flight_max: usize,
    /// What operators want, each once, in this order.
    pub changes: Vec<Change>,
}

/// Something that an operator wants of the leader.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// Hand over to this server.
    Transfer(u64),
    /// Make this server a voter.
    Add(u64),
    /// Remove this server.
    Remove(u64),
    /// Make this server a learner.
    Learn(u64),
    /// Make the first one, a learner that has caught up, a voter in place of the second one.
    Replace(u64, u64),
}

impl Scenario {
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.servers).filter_map(NodeId::new)
    }

    pub(crate) fn is_founder(&self, id: NodeId) -> bool {
        id.get() <= self.founders
    }

    pub(crate) fn membership(&self) -> Membership {
        let founders = self.ids().filter(|&id| self.is_founder(id));
        Membership::of_voters(founders.map(|id| (id, String::new())))
            .expect("a scenario has at least one founder")
    }

    pub(crate) fn term_max(&self) -> Term {
        Term::new(self.term_max)
    }

    pub(crate) fn config(&self, id: NodeId) -> Config {
        let mut config = Config::new(id);
        // As few heartbeats as can be before a leader without a quorum gives up.
        config.election_timeout = Duration::from_millis(300);
        config.heartbeat_interval = Duration::from_millis(100);
        config.gather_bytes_max = 0;
        config
    }
}

impl Change {
    /// Asks the leader; nothing if it refuses.
    pub(crate) fn ask(self, raft: &mut Raft, now: Timestamp) -> Option<()> {
        let change = MembershipChange::new();
        let wanted = match self {
            Self::Transfer(to) => return raft.transfer(now, NodeId::new(to)?).ok(),
            Self::Add(id) => change.add_voter(NodeId::new(id)?, ""),
            Self::Remove(id) => change.remove(NodeId::new(id)?),
            Self::Learn(id) => change.add_learner(NodeId::new(id)?, ""),
            Self::Replace(id, old) => change.promote(NodeId::new(id)?).remove(NodeId::new(old)?),
        };
        raft.change_membership(now, &wanted).ok().map(|_id| ())
    }
}
