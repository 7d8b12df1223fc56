//! Which of two connections to one peer is kept.

use raft_core::NodeId;

use crate::handshake::Run;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The node with the lower id.
    Lower,
    /// The node with the higher id.
    Higher,
}

impl Side {
    /// The side of `node` in a pair with `peer`.
    #[must_use]
    pub fn of(node: NodeId, peer: NodeId) -> Self {
        if node < peer { Self::Lower } else { Self::Higher }
    }
}

/// A connection whose handshake is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Who opened it.
    pub dialled_by: Side,
    /// The peer's run.
    pub run: Run,
}

/// What to do with a new connection to a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Use it; close the present one, if any, as [`CloseCode::Duplicate`](crate::CloseCode).
    Replace,
    /// Use it; the present one, if any, belongs to an earlier run of the peer.
    Supersede,
    /// Close it as [`CloseCode::Duplicate`](crate::CloseCode) and keep the present one.
    Duplicate,
    /// Close it as [`CloseCode::StaleGeneration`](crate::CloseCode): a later run is known.
    Stale,
    /// Close both as [`CloseCode::Cloned`](crate::CloseCode): two processes run as this peer.
    Cloned,
}

/// What a node remembers about the runs of one peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunFence {
    newest: Option<Run>,
}

impl RunFence {
    /// Decides about `new`, given the connection in use.
    ///
    /// Both ends see the same two connections, in whatever order, and keep the same one: that of
    /// the later run, then the one opened by the lower id, then the newer.
    pub fn admit(&mut self, present: Option<Candidate>, new: Candidate) -> Admission {
        if self.newest.is_some_and(|known| new.run.generation < known.generation) {
            return Admission::Stale;
        }
        let is_twin = |known: Run| new.run.generation == known.generation && new.run != known;
        let twin = self.newest.is_some_and(is_twin);
        let Some(present) = present else {
            // No two starts of one disk have one generation: this one is another disk, or a copy.
            if twin {
                return Admission::Stale;
            }
            self.newest = Some(new.run);
            return Admission::Replace;
        };
        if !twin {
            self.newest = Some(new.run);
        }
        if present.run.generation < new.run.generation {
            return Admission::Supersede;
        }
        if present.run.instance != new.run.instance {
            return Admission::Cloned;
        }
        match (present.dialled_by, new.dialled_by) {
            (Side::Lower, Side::Higher) => Admission::Duplicate,
            // A peer that dials twice has lost the first connection.
            (Side::Higher, Side::Lower)
            | (Side::Lower, Side::Lower)
            | (Side::Higher, Side::Higher) => Admission::Replace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(dialled_by: Side, generation: u64) -> Candidate {
        Candidate { dialled_by, run: Run { generation, instance: generation } }
    }

    #[test]
    fn connection_of_the_lower_id_survives_in_either_order() {
        let (low, high) = (candidate(Side::Lower, 1), candidate(Side::Higher, 1));

        assert_eq!(RunFence::default().admit(Some(low), high), Admission::Duplicate);
        assert_eq!(RunFence::default().admit(Some(high), low), Admission::Replace);
    }

    #[test]
    fn peer_that_dials_again_replaces_its_connection() {
        let high = candidate(Side::Higher, 1);

        assert_eq!(RunFence::default().admit(Some(high), high), Admission::Replace);
    }

    #[test]
    fn later_run_supersedes_whoever_dialled() {
        let (old, new) = (candidate(Side::Lower, 1), candidate(Side::Higher, 2));

        assert_eq!(RunFence::default().admit(Some(old), new), Admission::Supersede);
    }

    #[test]
    fn earlier_run_stays_fenced_after_the_later_one_is_gone() {
        let mut fence = RunFence::default();
        let _ = fence.admit(None, candidate(Side::Lower, 7));

        assert_eq!(fence.admit(None, candidate(Side::Lower, 6)), Admission::Stale);
        assert_eq!(fence.admit(None, candidate(Side::Lower, 7)), Admission::Replace);
    }

    #[test]
    fn node_that_comes_back_with_another_disk_is_refused_although_its_generation_is_the_same() {
        let mut fence = RunFence::default();
        let first = candidate(Side::Lower, 1);
        let wiped = Candidate { run: Run { instance: 99, ..first.run }, ..first };
        assert_eq!(fence.admit(None, first), Admission::Replace);

        assert_eq!(fence.admit(None, wiped), Admission::Stale);
        assert_eq!(fence.admit(Some(first), wiped), Admission::Cloned);
        assert_eq!(fence.admit(None, wiped), Admission::Stale);

        assert_eq!(fence.admit(None, first), Admission::Replace);
    }

    #[test]
    fn two_processes_of_one_generation_are_clones() {
        let one = candidate(Side::Lower, 1);
        let other = Candidate { run: Run { instance: 99, ..one.run }, ..one };

        assert_eq!(RunFence::default().admit(Some(one), other), Admission::Cloned);
    }
}
