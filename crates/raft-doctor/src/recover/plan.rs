//! What a recovery is going to do, and what may be lost by it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use raft_core::{ClusterId, HardState, LogId, LogIndex, Membership, NodeId, Term};
use raft_wal::{Identity, Verify};

use crate::place::Place;
use crate::say;

/// What a recovery is going to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    pub(super) identity: Identity,
    pub(super) new_cluster: ClusterId,
    pub(super) hard_state: HardState,
    /// Up to here the node knows that entries were committed: a snapshot covers them.
    pub(super) committed: LogIndex,
    /// The last entry of its log.
    pub(super) last: LogId,
    /// The members as it knows them.
    pub(super) members: Vec<NodeId>,
    /// Where the node will listen for others.
    pub(super) address: String,
}

impl Plan {
    /// Looks at what the node has, and changes nothing.
    pub(super) fn new(
        place: &Place,
        new_cluster: ClusterId,
        address: Option<&str>,
    ) -> anyhow::Result<Self> {
        let ident = place.identity()?;
        let identity = ident.identity;
        ensure!(
            new_cluster != identity.cluster,
            "the new cluster has the id of the old one, whose nodes would be listened to; draw a new \
             one, as `raft-kv certs` does for new certificates"
        );
        let log = place.log(&ident, Verify::Everything).context(
            "the log of this node cannot be trusted; use another node that is left, or restore it",
        )?;
        let group = log.group();
        if let Some(lost) = group.faulty.first() {
            bail!(
                "{} is damaged in this node's log, and nobody would be left to give it back; use \
                 another node that is left",
                say::faulty(lost)
            );
        }
        let look = place.look()?;
        let snapshot = look.snapshots.iter().rev().find(|snapshot| snapshot.verify().is_empty());
        let committed = snapshot.map_or(LogIndex::ZERO, |snapshot| snapshot.meta().last.index);
        ensure!(
            committed >= group.base.index,
            "the log begins after {}, and no snapshot that is intact reaches that far; use another \
             node that is left",
            say::id(group.base)
        );
        ensure!(
            committed <= group.last.index,
            "the newest snapshot is ahead of the log, as if a crash had come between the two; start \
             the node once, without the others, and stop it again"
        );
        let in_snapshot = snapshot.map(|snapshot| snapshot.meta().membership.clone());
        let membership = log.membership().map(|(_, membership)| membership).or(in_snapshot);
        let membership = membership.context("neither log nor snapshots say who the members are")?;
        let voters: Vec<NodeId> = membership.quorum().voters().collect();
        ensure!(
            voters.iter().any(|voter| *voter != identity.node),
            "node {} is the only voter: it needs nobody else, start it",
            identity.node
        );
        let known = membership.address(identity.node).unwrap_or_default();
        Ok(Self {
            identity,
            new_cluster,
            hard_state: group.hard_state,
            committed,
            last: group.last,
            members: membership.members().collect(),
            address: address.unwrap_or(known).to_owned(),
        })
    }

    /// Refuses if another node of the same cluster has a longer log.
    pub(super) fn check_against(&self, other: &Path) -> anyhow::Result<()> {
        let place = Place::new(other.to_owned(), None);
        let ident = place.identity()?;
        let (ours, theirs) = (self.identity, ident.identity);
        ensure!(
            theirs.cluster == ours.cluster && theirs.node != ours.node,
            "{} is of node {} of cluster {}, which is no other node of this cluster",
            other.display(),
            theirs.node,
            theirs.cluster
        );
        let log = place.log(&ident, Verify::Seals)?;
        let last = log.group().last;
        ensure!(
            last <= self.last,
            "the log of node {} ends with {}, that of node {} with {}: recover from the longer one, in {}",
            theirs.node,
            say::id(last),
            ours.node,
            say::id(self.last),
            other.display()
        );
        Ok(())
    }

    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) const fn new_cluster(&self) -> ClusterId {
        self.new_cluster
    }

    pub(super) const fn last(&self) -> LogId {
        self.last
    }

    /// A term that no leader of the old cluster will reach: whoever outside uses terms to tell who
    /// leads, believes the new cluster.
    pub(super) const fn new_term(&self) -> Term {
        const AHEAD: u64 = 1_000_000;
        Term::new(self.hard_state.term.get().saturating_add(AHEAD))
    }

    pub(super) fn new_membership(&self) -> Membership {
        Membership::of_voters([(self.identity.node, self.address.clone())])
            .expect("it has one voter")
    }

    /// What has to be repeated for the plan to be carried out: it differs if anything is different.
    pub(super) fn word(&self) -> String {
        let text = format!("{self:?}");
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{:08x}", hash >> 32)
    }

    /// Says what may be lost, and what is going to be changed.
    pub(super) fn say(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let node = self.identity.node;
        let others: Vec<_> = self.members.iter().filter(|id| **id != node).collect();
        let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        writeln!(
            out,
            "This makes node {node} the only member of a new cluster, with what its log holds."
        )?;
        writeln!(
            out,
            "It cannot be undone, and is for when the others ({others}) are lost for good.\n"
        )?;
        writeln!(out, "what may be lost")?;
        if self.committed > LogIndex::ZERO {
            writeln!(out, "  up to entry {}: nothing, a snapshot covers it", self.committed)?;
        }
        let next = self.committed.next();
        if next <= self.last.index {
            writeln!(
                out,
                "  {}: nothing; whether they were committed is not known",
                say::range(next, self.last.index)
            )?;
            writeln!(
                out,
                "    here, and all of them will be: also commands of which no client was told"
            )?;
        }
        writeln!(
            out,
            "  from entry {} on: EVERYTHING, if there was anything. What a majority without",
            self.last.index.next()
        )?;
        writeln!(
            out,
            "    node {node} has acknowledged is not in its log, and how much that is cannot be"
        )?;
        writeln!(out, "    told from here. If other nodes are left, compare with --other DIR.\n")?;
        writeln!(out, "what is changed in {}'s directory", node)?;
        writeln!(
            out,
            "  cluster {} becomes {}: nodes of the old",
            self.identity.cluster, self.new_cluster
        )?;
        writeln!(out, "    one, their certificates and their snapshots are refused from then on")?;
        let (id, term) = (self.last.index.next(), self.new_term());
        writeln!(out, "  entry {id} of term {term}: {}", say::members(&self.new_membership()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            identity: Identity {
                cluster: ClusterId::new([7; 16]),
                node: NodeId::new(1).expect("not zero"),
            },
            new_cluster: ClusterId::new([9; 16]),
            hard_state: HardState { term: Term::new(3), vote: None },
            committed: LogIndex::new(5),
            last: LogId::new(Term::new(3), LogIndex::new(8)),
            members: Vec::new(),
            address: String::new(),
        }
    }

    #[test]
    fn the_word_changes_with_the_log() {
        let longer = Plan { last: LogId::new(Term::new(3), LogIndex::new(9)), ..plan() };

        assert_eq!(plan().word(), plan().word());
        assert_ne!(plan().word(), longer.word());
    }

    #[test]
    fn the_new_term_is_far_ahead() {
        assert_eq!(plan().new_term(), Term::new(1_000_003));
    }
}
