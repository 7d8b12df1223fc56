//! Doubt about the end of the own log: the newest write may be lost although it was reported durable
//! (FAST '18, "Protocol-Aware Recovery").
//!
//! What this server acknowledged may have been committed because of that, so its word that it does
//! not have an entry is worth nothing: its vote counts only where every voter gives one. All else it
//! does as others do; what it has, and acknowledges from here on, it has.
//!
//! It ends when nothing can be missing. All that was ever acknowledged to the leader of a term is, at
//! any moment after the restart, in that leader's log, and what was acknowledged in earlier terms and
//! is not there cannot be committed any more, since that leader was elected without it. So whoever
//! has the log of its leader up to where that ended, asked after the restart, has everything. (Not up
//! to its commit index: acknowledgements may still be on their way that commit more.)

use super::common::Common;
use crate::message::{Body, EndReply, EndRequest};
use crate::types::{LogIndex, NodeId};

/// What is known in the current term about what may be missing.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Doubt {
    /// Where the leader's log ended, after this server's restart.
    end: Option<LogIndex>,
    /// How far the own log equals the leader's.
    matched: LogIndex,
}

impl Doubt {
    /// How far the own log equals the leader's, as far as the leader has shown in this term.
    pub(super) const fn matched(&self) -> LogIndex {
        self.matched
    }

    pub(super) fn on_matched(&mut self, matched: LogIndex) {
        self.matched = self.matched.max(matched);
    }

    /// The first answer will do: later ones name no less.
    fn on_end(&mut self, end: LogIndex) {
        self.end = Some(self.end.map_or(end, |first| first.min(end)));
    }

    /// Whether a log that is durable up to `durable` has everything.
    pub(super) fn is_settled_by(&self, durable: LogIndex) -> bool {
        self.end.is_some_and(|end| end <= self.matched.min(durable))
    }
}

/// Asks the leader, who has just been heard, up to where this server may have acknowledged its
/// entries. Asked at each heartbeat: the answer may be lost, and so may be what the leader takes back.
pub(super) fn ask(common: &mut Common, leader: NodeId) {
    if common.is_in_doubt() {
        let (session, last) = (common.session(), common.last());
        common.send(leader, Body::EndRequest(EndRequest { session, last }));
    }
}

/// The leader has answered.
pub(super) fn on_reply(common: &mut Common, m: EndReply) {
    // An answer to an earlier run may have left before what that run acknowledged.
    if m.session != common.session() {
        return;
    }
    let Some(doubt) = common.doubt_mut() else { return };
    doubt.on_end(m.last);
    common.settle_if_caught_up();
}
