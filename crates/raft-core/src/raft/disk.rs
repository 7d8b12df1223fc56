//! What is durable, what is being written, and what must wait for it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::canonical::Rebase;
use crate::io::{Write, WriteSeq};
use crate::message::{AppendReply, Body, Message, WaitsFor};
use crate::types::{Entries, Entry, HardState, LogId, LogIndex, Timestamp};

/// The disk as the core sees it: a sequence of writes, of which a prefix is durable.
///
/// An acknowledgement names a write, never an index: one that belongs to an entry that was
/// overwritten meanwhile acknowledges nothing.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Disk {
    /// Last write handed out, or being collected.
    seq: WriteSeq,
    durable: WriteSeq,
    /// The last write that changed term or vote.
    hard_state_seq: WriteSeq,
    /// Last index that is durable.
    durable_last: LogIndex,
    /// The write being collected for the next output; its number is `seq`.
    pending: Option<Pending>,
    /// The writes under way, the oldest first.
    under_way: VecDeque<UnderWay>,
    withheld: Withheld,
}

/// Messages that promise what is not durable yet, in the order in which they were made.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Withheld {
    messages: Vec<Message>,
    /// The write that each of them rests on.
    grounds: Vec<WriteSeq>,
}

/// A write that is being collected.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Pending {
    append: Entries,
    rare: Option<Box<Rare>>,
}

/// What few writes do; as in [`Write`].
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Rare {
    hard_state: Option<HardState>,
    reset: Option<LogId>,
    compact: Option<LogId>,
    truncate: Option<LogIndex>,
    settles_doubt: bool,
    /// What came after the first batch.
    append: Vec<Entry>,
    repair: Vec<Entry>,
}

/// A write that was handed out and is not durable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct UnderWay {
    seq: WriteSeq,
    /// Where the log ends when it is durable.
    last: LogIndex,
    since: Timestamp,
}

impl Disk {
    pub(super) const fn new(last: LogIndex) -> Self {
        Self {
            seq: WriteSeq::new(0),
            durable: WriteSeq::new(0),
            hard_state_seq: WriteSeq::new(0),
            durable_last: last,
            pending: None,
            under_way: VecDeque::new(),
            withheld: Withheld { messages: Vec::new(), grounds: Vec::new() },
        }
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { seq, durable, hard_state_seq, durable_last: _, pending: _, under_way, withheld } =
            self;
        rebase.seq(seq);
        rebase.seq(durable);
        rebase.seq(hard_state_seq);
        for UnderWay { seq, last: _, since } in under_way {
            rebase.seq(seq);
            rebase.instant(since);
        }
        withheld.grounds.iter_mut().for_each(|seq| rebase.seq(seq));
    }

    /// The last write that is durable, and all before it.
    pub(super) const fn durable_seq(&self) -> WriteSeq {
        self.durable
    }

    /// Last index that is durable here.
    pub(super) const fn durable_last(&self) -> LogIndex {
        self.durable_last
    }

    /// The last write so far; all that was decided up to now is in it or before it.
    pub(super) const fn seq(&self) -> WriteSeq {
        self.seq
    }

    /// When the oldest write under way was handed out.
    pub(super) fn busy_since(&self) -> Option<Timestamp> {
        self.under_way.front().map(|write| write.since)
    }

    pub(super) fn is_durable(&self, seq: WriteSeq) -> bool {
        seq <= self.durable
    }

    pub(super) fn write_hard_state(&mut self, hard_state: HardState) {
        self.rare().hard_state = Some(hard_state);
        self.hard_state_seq = self.seq;
    }

    /// Numbers the next write: there will be entries in it.
    pub(super) fn will_write(&mut self) {
        self.pending();
    }

    #[inline]
    pub(super) fn write_entries(&mut self, entries: Entries) {
        if self.pending.is_none() {
            self.seq = self.seq.next();
            self.pending = Some(Pending { append: entries, rare: None });
        } else {
            self.write_more(entries);
        }
    }

    #[inline(never)]
    fn write_more(&mut self, entries: Entries) {
        let pending = self.pending();
        if pending.append.is_empty() {
            pending.append = entries;
        } else {
            self.rare().append.extend(entries);
        }
    }

    /// Writes an entry again that was lost; gives the write.
    pub(super) fn write_again(&mut self, entry: Entry) -> WriteSeq {
        self.rare().repair.push(entry);
        self.seq
    }

    pub(super) fn write_truncation(&mut self, from: LogIndex) {
        self.durable_last = self.durable_last.min(from.prev());
        for write in &mut self.under_way {
            write.last = write.last.min(from.prev());
        }
        self.withdraw_acknowledgements_after(from.prev());
        let pending = self.pending();
        let kept = pending.append.partition_point(|entry| entry.id.index < from);
        pending.append.keep(kept);
        let rare = self.rare();
        rare.append.retain(|entry| entry.id.index < from);
        rare.repair.retain(|entry| entry.id.index < from);
        rare.truncate = Some(rare.truncate.map_or(from, |first| first.min(from)));
    }

    /// Nothing that was acknowledged is missing from what is durable.
    pub(super) fn write_settlement(&mut self) {
        self.rare().settles_doubt = true;
    }

    /// The log gives way to an empty one after `last`. It is durable up to there: the snapshot is.
    pub(super) fn write_reset(&mut self, last: LogId) {
        self.durable_last = last.index;
        for write in &mut self.under_way {
            write.last = last.index;
        }
        self.withdraw_acknowledgements_after(last.index);
        self.pending().append = Entries::default();
        let rare = self.rare();
        let Rare { hard_state, settles_doubt, .. } = *rare;
        *rare = Rare { hard_state, reset: Some(last), settles_doubt, ..Rare::default() };
    }

    /// The log begins after `upto`, which is durable.
    pub(super) fn write_compaction(&mut self, upto: LogId) {
        let rare = self.rare();
        rare.compact = Some(upto);
        rare.repair.retain(|entry| entry.id.index > upto.index);
    }

    /// Hands out the collected write, or that there is none, in place of `write`. The log ends at
    /// `last` after it.
    pub(super) fn take_write(&mut self, write: &mut Option<Write>, last: LogIndex, now: Timestamp) {
        // First, so that the new one is made in its place: it is large.
        if write.is_some() {
            *write = None;
        }
        let Some(Pending { append, rare }) = self.pending.take() else { return };
        let seq = self.seq;
        self.under_way.push_back(UnderWay { seq, last, since: now });
        match rare {
            None => *write = Some(Write { seq, append, ..Write::default() }),
            Some(rare) => *write = Some(rare.into_write(seq, append)),
        }
    }

    pub(super) fn rest(&mut self) {
        self.under_way.shrink_to_fit();
        self.withheld.messages.shrink_to_fit();
        self.withheld.grounds.shrink_to_fit();
    }

    /// Records that all writes up to `seq` are durable; false if `seq` was never handed out.
    pub(super) fn on_persisted(&mut self, seq: WriteSeq) -> bool {
        let is_handed_out = seq < self.seq || (seq == self.seq && self.pending.is_none());
        if !is_handed_out {
            return false;
        }
        self.durable = self.durable.max(seq);
        while let Some(write) = self.under_way.pop_front_if(|write| write.seq <= seq) {
            self.durable_last = write.last;
        }
        true
    }

    /// The write that a message must be kept back for; `None` if it may leave.
    pub(super) fn missing(&self, waits_for: WaitsFor) -> Option<WriteSeq> {
        let rests_on = match waits_for {
            WaitsFor::Nothing => return None,
            WaitsFor::HardState => self.hard_state_seq,
            WaitsFor::Everything => self.seq,
        };
        (!self.is_durable(rests_on)).then_some(rests_on)
    }

    /// Keeps `message` back until `rests_on` is durable.
    #[inline]
    pub(super) fn withhold(&mut self, rests_on: WriteSeq, message: Message) {
        if self.withheld.grounds.is_empty() {
            self.withheld.messages.push(message);
            self.withheld.grounds.push(rests_on);
        } else {
            self.withhold_too(rests_on, message);
        }
    }

    #[inline(never)]
    fn withhold_too(&mut self, rests_on: WriteSeq, message: Message) {
        let Withheld { messages, grounds } = &mut self.withheld;
        let mut same_ground =
            messages.iter_mut().zip(&*grounds).filter(|(_, ground)| **ground == rests_on);
        // While a write takes long, the same questions may come again and again.
        if !same_ground.any(|(withheld, _)| covers(withheld, &message)) {
            messages.push(message);
            grounds.push(rests_on);
        }
    }

    /// Lets go of the messages whose ground is durable now.
    pub(super) fn release(&mut self, outbox: &mut Vec<Message>) {
        let Withheld { messages, grounds } = &mut self.withheld;
        let durable = self.durable;
        if outbox.is_empty() && grounds.iter().all(|ground| *ground <= durable) {
            // The lists change places, so that none is moved.
            core::mem::swap(outbox, messages);
            grounds.clear();
            return;
        }
        let mut ground = grounds.iter();
        let free = messages.extract_if(.., |_| ground.next().is_some_and(|seq| *seq <= durable));
        outbox.extend(free);
        grounds.retain(|ground| *ground > durable);
    }

    /// What names entries that are no longer there is not said when the write that had them is durable.
    fn withdraw_acknowledgements_after(&mut self, last: LogIndex) {
        let Withheld { messages, grounds } = &mut self.withheld;
        let mut message = messages.iter();
        grounds.retain(|_| message.next().is_some_and(|m| !acknowledges_more(m, last)));
        messages.retain(|message| !acknowledges_more(message, last));
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_with(|| {
            self.seq = self.seq.next();
            Pending::default()
        })
    }

    fn rare(&mut self) -> &mut Rare {
        self.pending().rare.get_or_insert_default()
    }
}

impl Rare {
    #[inline(never)]
    fn into_write(self, seq: WriteSeq, first: Entries) -> Write {
        let Self { hard_state, reset, compact, truncate, settles_doubt, append, repair } = self;
        let append =
            if append.is_empty() { first } else { first.into_iter().chain(append).collect() };
        Write { seq, hard_state, reset, compact, truncate, settles_doubt, append, repair }
    }
}

/// Whether a message acknowledges an entry behind `last`.
pub(super) fn acknowledges_more(message: &Message, last: LogIndex) -> bool {
    if let Body::AppendReply(AppendReply::Accepted { matched }) = message.body {
        matched > last
    } else {
        false
    }
}

/// Whether `withheld`, which leaves at the same time, says what `message` would say. It may be
/// changed to do so: the highest acknowledgement stands for those below it.
fn covers(withheld: &mut Message, message: &Message) -> bool {
    let to_same = (withheld.to, withheld.term) == (message.to, message.term);
    if let (
        true,
        Body::AppendReply(AppendReply::Accepted { matched }),
        Body::AppendReply(AppendReply::Accepted { matched: new }),
    ) = (to_same, &mut withheld.body, &message.body)
    {
        *matched = (*matched).max(*new);
        return true;
    }
    withheld == message
}
