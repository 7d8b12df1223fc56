//! What a log should be, and what may be submitted to it next.

use bytes::Bytes;
use raft_core::{
    Entry, EntryPayload, HardState, LogId, LogIndex, Membership, NodeId, Restored, Term, Write,
};

/// SplitMix64: enough to choose what to do.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// A log, as a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Model {
    pub(super) hard_state: HardState,
    pub(super) base: LogId,
    pub(super) entries: Vec<Entry>,
}

impl Model {
    pub(super) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// A write that a node may submit next; its number is still to be given.
    pub(super) fn write(&self, chance: &mut Chance) -> Write {
        let mut write = Write::default();
        if self.last() == LogId::ZERO {
            write.hard_state = Some(HardState { term: Term::new(1), vote: None });
            write.append = [membership(LogId::new(Term::new(1), LogIndex::new(1)))].into();
            return write;
        }
        let next = self.last().index.next();
        match chance.below(12) {
            0 => write.hard_state = Some(self.next_term(chance)),
            1 if self.hard_state.vote.is_none() => {
                let vote = NodeId::new(1 + chance.below(3));
                write.hard_state = Some(HardState { vote, ..self.hard_state });
            }
            2 if self.entries.len() > 2 => {
                write.hard_state = Some(self.next_term(chance));
                let back = chance.below(self.entries.len().min(6).try_into().unwrap_or(1));
                let from = LogIndex::new(self.last().index.get() - back);
                write.truncate = Some(from);
                let term = self.hard_state.term.next();
                write.append = run(from, chance.below(4), term, chance).into();
            }
            3 if !self.entries.is_empty() => {
                let nth = chance.below(self.entries.len().try_into().unwrap_or(1));
                let nth = usize::try_from(nth).unwrap_or(0);
                write.compact = self.entries.get(nth).map(|entry| entry.id);
            }
            4 if chance.below(4) == 0 => {
                let index = LogIndex::new(next.get() + chance.below(50));
                write.reset = Some(LogId::new(self.hard_state.term, index));
            }
            5 => {
                write.append = [membership(LogId::new(self.hard_state.term, next))].into();
            }
            _ => {
                let count = 1 + chance.below(9);
                write.append = run(next, count, self.hard_state.term, chance).into();
            }
        }
        write
    }

    fn next_term(&self, chance: &mut Chance) -> HardState {
        let vote = NodeId::new(chance.below(4));
        HardState { term: self.hard_state.term.next(), vote }
    }

    pub(super) fn apply(&mut self, write: &Write) {
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        if let Some(base) = write.reset {
            self.base = base;
            self.entries.clear();
        }
        if let Some(upto) = write.compact {
            self.entries.retain(|entry| entry.id.index > upto.index);
            self.base = upto;
        }
        if let Some(from) = write.truncate {
            self.entries.retain(|entry| entry.id.index < from);
        }
        self.entries.extend(write.append.iter().cloned());
    }

    /// Whether `found` describes this log; what was compacted may be back.
    pub(super) fn is(&self, found: &Restored) -> bool {
        let is_beyond = |id: &LogId| id.index > self.base.index;
        let terms = self.entries.iter().map(|entry| entry.id);
        let term_at = |id: LogId| {
            let start = found.term_starts.iter().rfind(|start| start.index <= id.index);
            start.map(|start| start.term)
        };
        let memberships = self.entries.iter().filter_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => Some((entry.id, (**membership).clone())),
            EntryPayload::Command(_) | EntryPayload::Noop => None,
        });
        let found_memberships = found.memberships.iter().filter(|(id, _)| is_beyond(id)).cloned();
        let tail: Vec<_> = found.tail.iter().filter(|entry| is_beyond(&entry.id)).collect();
        let skipped = self.entries.len().saturating_sub(tail.len());
        found.hard_state == self.hard_state
            && found.base.index <= self.base.index
            && found.last == self.last()
            && terms.into_iter().all(|id| term_at(id) == Some(id.term))
            && memberships.eq(found_memberships)
            && self.entries.iter().skip(skipped).eq(tail)
    }
}

fn run(first: LogIndex, count: u64, term: Term, chance: &mut Chance) -> Vec<Entry> {
    let len = chance.below(3000);
    let entry = |index: u64| {
        let payload = if (index + len).is_multiple_of(7) {
            EntryPayload::Noop
        } else {
            let byte = u8::try_from((index + term.get() * 31) % 256).unwrap_or(0);
            EntryPayload::Command(Bytes::from(vec![byte; usize::try_from(len).unwrap_or(0)]))
        };
        Entry { id: LogId::new(term, LogIndex::new(index)), payload }
    };
    (first.get()..first.get() + count).map(entry).collect()
}

fn membership(id: LogId) -> Entry {
    let voters = (1..=3).filter_map(NodeId::new).map(|node| (node, "somewhere"));
    let membership = Membership::of_voters(voters).expect("three voters are some");
    Entry { id, payload: EntryPayload::Membership(Box::new(membership)) }
}
