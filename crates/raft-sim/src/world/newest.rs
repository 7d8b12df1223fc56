//! The newest write of a disk: damage can take it, and leave nothing that says that it was durable
//! (docs/adr/0010).

use raft_core::{LogId, LogIndex, Term};

use super::mirror::{Ids, Pending, position};

/// What was made durable last, all at once.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    writes: Vec<Pending>,
    replaced: Replaced,
}

/// What writes take the place of.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    /// Where the log began.
    base: LogId,
    /// How many of its terms they leave as they are.
    kept: usize,
    /// Those behind them.
    removed: Vec<Term>,
}

/// An entry that was durable, and was lost with the newest write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forgotten {
    pub(super) id: LogId,
    /// The run of the node that has found it missing.
    pub(super) run: u32,
}

impl Newest {
    pub(super) fn new(writes: Vec<Pending>, replaced: Replaced) -> Self {
        // Term and vote stand twice, and are not lost with it.
        let writes = writes.into_iter().map(|write| Pending { hard_state: None, ..write });
        Self { writes: writes.collect(), replaced }
    }

    pub(super) fn writes(&self) -> &[Pending] {
        &self.writes
    }

    /// `disk` without it.
    pub(super) fn undo(&self, disk: &Ids) -> Ids {
        let Replaced { base, kept, ref removed } = self.replaced;
        let kept = disk.terms.get(..kept).unwrap_or(&disk.terms);
        Ids { base, terms: kept.iter().chain(removed).copied().collect() }
    }
}

impl Replaced {
    /// `writes` are about to be carried out on `disk`.
    pub(super) fn by(writes: &[Pending], disk: &Ids) -> Self {
        let first = writes.iter().filter_map(Pending::first_removed).min();
        let whole = disk.terms.len();
        let kept = first.map_or(whole, |index| position(index).min(whole));
        let removed = disk.terms.get(kept..).unwrap_or_default().to_vec();
        Self { base: disk.base, kept, removed }
    }
}

impl Pending {
    /// The first entry that it does not leave as it is, unless that is behind the end.
    fn first_removed(&self) -> Option<LogIndex> {
        let reset = self.reset.map(|base| base.index.next());
        reset.into_iter().chain(self.truncate).min()
    }
}
