//! Leases: reads that rest on clocks (thesis §6.4.1).

use alloc::collections::VecDeque;

use super::Leader;
use crate::message::ReadRound;
use crate::raft::canonical::Rebase;
use crate::raft::common::Common;
use crate::types::{LogIndex, Timestamp};

/// When rounds of heartbeats were sent, and since when a quorum is known to follow.
///
/// Check-quorum bounds the rounds: after an election timeout without answers there is no leader.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Lease {
    sent: VecDeque<(ReadRound, Timestamp)>,
    /// When the newest round was sent that a quorum has answered. When the answers came says
    /// nothing: the voters' promises began when they received it, at the earliest as it was sent.
    since: Option<Timestamp>,
}

impl Lease {
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { sent, since } = self;
        sent.iter_mut().for_each(|(_, sent_at)| rebase.instant(sent_at));
        since.iter_mut().for_each(|since| rebase.instant(since));
    }

    pub(super) fn rest(&mut self) {
        self.sent.shrink_to_fit();
    }

    pub(super) fn on_sent(&mut self, round: ReadRound, now: Timestamp) {
        self.sent.push_back((round, now));
    }

    /// Takes the newest round that a quorum has answered.
    pub(super) fn on_confirmed(&mut self, round: ReadRound) {
        while let Some((_, sent_at)) = self.sent.pop_front_if(|(sent, _)| *sent <= round) {
            self.since = Some(sent_at);
        }
    }

    /// Another quorum decides: it has promised nothing yet.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

impl Leader {
    /// What may be served without asking anybody: all that is committed, as long as nobody else can
    /// be leader.
    pub(in crate::raft) fn leased(&mut self, common: &Common) -> Option<LogIndex> {
        let confirmed = self.confirmed(common);
        self.lease.as_mut()?.on_confirmed(confirmed);
        let holds = common.now() < self.lease_until(common)?;
        holds.then(|| common.commit())
    }

    /// When the lease ends, or has ended, unless it is renewed; `None` if there is none.
    pub(in crate::raft) fn lease_until(&self, common: &Common) -> Option<Timestamp> {
        let duration = common.config().lease_duration()?;
        // Others may have committed what we do not know to be committed; or we have begun to let go.
        if common.commit() < self.first || self.successor().is_some() {
            return None;
        }
        Some(self.lease.as_ref()?.since?.after(duration))
    }
}
