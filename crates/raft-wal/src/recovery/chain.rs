//! Following the chain of batches through all segments to its end.

use std::path::Path;

use raft_core::{GroupId, LogId, LogIndex};

use super::evidence::{self, Evidence};
use super::replay::Replay;
use super::scan::{Batch, Broken, Expected, Left, Scanner};
use super::survey::{Found, Head};
use super::verdict::{Verdict, decide};
use crate::disk::Disk;
use crate::error::{Corruption, OpenError};
use crate::format::batch::{BatchHeader, Counts, flag};
use crate::format::checkpoint::{Checkpoint, GroupMark, Pin};
use crate::format::record::{Change, Descriptor, Meaning};
use crate::format::seal::SealedSection;
use crate::format::{BLOCK, Unsupported};
use crate::options::OnCorruption;
use crate::recovered::{Tail, TailPosition};
use crate::segment::{SealPlan, segment_name};

/// Where the chain ends, and what it says.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) replay: Replay,
    /// The end of the last segment with a batch; its `segment` is 0 if there is none.
    pub(super) end: Pin,
    pub(super) tail: Tail,
    /// What there is before the next batch.
    pub(super) counts: Counts,
    /// The segment to go on in.
    pub(super) next: u64,
    /// Segments to be sealed.
    pub(super) unsealed: Vec<(u64, SealPlan)>,
    /// Segments from `next` on that must be prepared again.
    pub(super) used_spares: Vec<u64>,
    /// What is damaged, also where entries have been repaired since.
    pub(super) damaged: Vec<Corruption>,
}

impl Trail {
    /// Whether the chain has a batch in this segment.
    pub(super) const fn has<D: Disk>(&self, found: &Found<D>) -> bool {
        found.segment.number < self.next
    }

    /// The length of the segments in which it has one.
    pub(super) fn bytes<D: Disk>(&self, survey: &[Found<D>]) -> u64 {
        survey.iter().filter(|found| self.has(found)).map(|found| found.len).sum()
    }

    /// Where entries are lost that nobody has repaired.
    pub(super) fn damage(&self) -> Vec<Corruption> {
        let is_faulty = |(group, id): &(GroupId, LogId)| {
            let log = self.replay.ledger.get(*group);
            log.is_some_and(|log| log.faults().contains(id.index))
        };
        let counts = |damage: &&Corruption| {
            damage.entries.is_empty() || damage.entries.iter().any(is_faulty)
        };
        self.damaged.iter().filter(counts).cloned().collect()
    }
}

/// Follows the chain from the oldest segment on.
pub(super) fn follow<D: Disk>(
    disk: &D,
    survey: &[Found<D>],
    on_corruption: OnCorruption,
) -> Result<Trail, OpenError> {
    let mut walk = Walk {
        disk,
        on_corruption,
        replay: Replay::default(),
        end: Pin::default(),
        first_seq: 1,
        counts: Counts::ZERO,
        awaits_insurance: false,
        is_marked: false,
        oldest: survey.first().map_or(0, |found| found.segment.number),
        unsealed: Vec::new(),
        damaged: Vec::new(),
    };
    walk.begin(survey)?;
    for (nth, found) in survey.iter().enumerate() {
        let rest = survey.get(nth..).unwrap_or_default();
        walk.enter(found)?;
        let next = rest.get(1);
        match (&found.seal, next.and_then(|next| next.head.as_ref())) {
            (_, Some(head)) => walk.pass(found, Some(head))?,
            (None, None) => return walk.finish(rest),
            // Both seals say where the first ends.
            (Some(_), None) if walk.is_sealed_after(next) => walk.pass(found, None)?,
            // A segment is sealed only when the first batch of the next one is durable.
            (Some(_), None) => {
                return Err(match next {
                    Some(next) => corrupt(&next.segment.path, BLOCK, "the first batch is missing"),
                    None => walk.missing(found.segment.number + 1),
                });
            }
        }
    }
    Err(walk.missing(1))
}

struct Walk<'a, D> {
    disk: &'a D,
    on_corruption: OnCorruption,
    replay: Replay,
    /// Where the last batch ends.
    end: Pin,
    /// The first batch of the current segment.
    first_seq: u64,
    /// What there is before the next batch.
    counts: Counts,
    /// Whether the next batch is to repeat the hard states of the last one.
    awaits_insurance: bool,
    /// Whether the last batch is a marker for all before it.
    is_marked: bool,
    /// Number of the first segment there is.
    oldest: u64,
    unsealed: Vec<(u64, SealPlan)>,
    damaged: Vec<Corruption>,
}

impl<D: Disk> Walk<'_, D> {
    /// Takes the oldest segment's word for what was before it.
    fn begin(&mut self, survey: &[Found<D>]) -> Result<(), OpenError> {
        let Some(found) = survey.first() else { return Ok(()) };
        let number = found.segment.number;
        let checkpoint = match &found.head {
            Some(head) => head.checkpoint.clone(),
            // The first of all has nothing before it to repeat.
            None if number == 1 => Checkpoint::default(),
            None => match inferred(survey).filter(|_| self.on_corruption == OnCorruption::Report) {
                Some(checkpoint) => checkpoint,
                None => return Ok(()),
            },
        };
        self.end = if number == 1 { Pin::default() } else { checkpoint.pin };
        if self.end.segment + 1 != number || !self.replay.begin(&checkpoint) {
            let what = "the checkpoint is of another segment";
            return Err(corrupt(&found.segment.path, BLOCK, what));
        }
        Ok(())
    }

    /// Checks that a segment begins where the one before ended.
    fn enter(&mut self, found: &Found<D>) -> Result<(), OpenError> {
        self.first_seq = self.end.seq + 1;
        let Some(head) = &found.head else { return Ok(()) };
        let at_head = |what| corrupt(&found.segment.path, BLOCK, what);
        if head.checkpoint.pin != self.end {
            return Err(at_head("the segment does not begin where the one before it ended"));
        }
        if !self.replay.agrees_with(&head.checkpoint) {
            return Err(at_head("the checkpoint differs from the log before it"));
        }
        self.replay.adopt(&head.checkpoint);
        self.counts = head.header.counts;
        Ok(())
    }

    /// Whether what a seal and a checkpoint both say is known although one of them is damaged.
    fn is_sealed_after(&self, next: Option<&Found<D>>) -> bool {
        let is_sealed = next.is_some_and(|next| next.seal.is_some());
        is_sealed && self.on_corruption == OnCorruption::Report
    }

    const fn expected(&self) -> Expected {
        Expected { seq: self.end.seq + 1, prev_crc: self.end.crc }
    }

    /// Goes through a segment whose end the next one pins.
    fn pass(&mut self, found: &Found<D>, next: Option<&Head>) -> Result<(), OpenError> {
        let pin = next.map(|next| next.checkpoint.pin);
        match (&found.seal, pin) {
            (None, None) => return Err(self.missing(found.segment.number + 1)),
            (None, Some(pin)) => self.pass_unsealed(found, pin, next)?,
            (Some((trailer, sections)), _) => {
                let path = &found.segment.path;
                if !self.is_begun_in_order(found) || trailer.first_seq != self.expected().seq {
                    return Err(corrupt(path, BLOCK, "the first batch of the segment is damaged"));
                }
                if !self.replay.absorb(found.segment.number, sections) {
                    let offset = trailer.index_offset;
                    return Err(corrupt(path, offset, "the index contradicts the log before it"));
                }
                self.note_lost(path, trailer.index_offset, sections);
                self.is_marked = false;
                self.end = Pin {
                    segment: found.segment.number,
                    end: trailer.body_end,
                    seq: trailer.last_seq,
                    crc: trailer.last_crc,
                };
            }
        }
        let Some(pin) = pin.filter(|pin| self.end != *pin) else { return Ok(()) };
        Err(corrupt(
            &found.segment.path,
            pin.end,
            "the segment does not end where the next one says",
        ))
    }

    /// Takes note of entries that an earlier open found damaged, as the index at `offset` says.
    fn note_lost(&mut self, path: &Path, offset: u64, sections: &[SealedSection]) {
        let lost = |section: &SealedSection| -> Vec<_> {
            let places = section.offsets.iter().zip(section.lo.get()..);
            let lost = places.filter(|(offset, _)| **offset == 0);
            let term = |index| self.replay.ledger.get(section.group)?.term(LogIndex::new(index));
            lost.map(|(_, index)| {
                let id = LogId::new(term(index).unwrap_or_default(), LogIndex::new(index));
                (section.group, id)
            })
            .collect()
        };
        let entries: Vec<_> = sections.iter().flat_map(lost).collect();
        if !entries.is_empty() {
            let what = "entries were found damaged when the segment was sealed";
            let path = path.to_path_buf();
            self.damaged.push(Corruption { path, offset, what, batches: None, entries });
        }
    }

    /// Whether the first batch of a sealed segment follows what is before; one that is damaged is
    /// believed to, if the seal says so.
    fn is_begun_in_order(&self, found: &Found<D>) -> bool {
        match &found.head {
            Some(Head { header, .. }) => {
                self.expected() == Expected { seq: header.seq, prev_crc: header.prev_crc }
            }
            None => {
                let is_known = self.end.segment + 1 == found.segment.number;
                self.on_corruption == OnCorruption::Report && is_known
            }
        }
    }

    fn pass_unsealed(
        &mut self,
        found: &Found<D>,
        pin: Pin,
        next: Option<&Head>,
    ) -> Result<(), OpenError> {
        let mut start = BLOCK;
        while let (offset, Some(broken)) = self.scan(found, start, pin.end)? {
            if self.on_corruption == OnCorruption::Fail {
                return Err(self.lost(found, offset, Some(&broken), pin.seq));
            }
            start = match self.skip(found, offset, &broken, pin.end)? {
                Some(next) => next,
                None => {
                    let counts = next.map(|next| next.header.counts).unwrap_or_default();
                    self.lose(found, offset, &broken, counts)?;
                    self.end = pin;
                    break;
                }
            };
        }
        if let Some(next) = next {
            // The seal must name what was lost at the end: at the next open it speaks for itself.
            self.replay.reconcile(&next.checkpoint);
        }
        self.plan_seal(found.segment.number);
        Ok(())
    }

    /// Goes on behind a batch that was durable and is damaged; `None` if nothing intact follows
    /// before `limit`.
    fn skip(
        &mut self,
        found: &Found<D>,
        offset: u64,
        broken: &Broken,
        limit: u64,
    ) -> Result<Option<u64>, OpenError> {
        let damaged = self.corruption(found, offset, Some(broken), self.expected().seq);
        self.damaged.push(damaged);
        match &broken.left {
            Left::Table { batch, damaged } => {
                if offset == BLOCK && damaged.contains(&0) && found.segment.number > 1 {
                    return Err(self.lost(found, offset, Some(broken), batch.header.seq));
                }
                self.carry_out(found, offset, batch, damaged)?;
                self.advance(found, offset, &batch.header);
                Ok(Some(self.end.end))
            }
            Left::Header(header) => {
                self.lose(found, offset, broken, header.counts_after())?;
                self.advance(found, offset, header);
                Ok(Some(self.end.end))
            }
            Left::Nothing => {
                let seq = self.expected().seq;
                let Some((at, header)) = evidence::next_batch(found, offset, limit, seq)? else {
                    return Ok(None);
                };
                self.lose(found, offset, broken, header.counts)?;
                let segment = found.segment.number;
                self.end = Pin { segment, end: at, seq: header.seq - 1, crc: header.prev_crc };
                Ok(Some(at))
            }
        }
    }

    /// Notes that all is lost from `offset` up to a place that has `counts` batches of a kind
    /// before it. Refused if a truncation may be among it: entries that it removed would be back.
    fn lose(
        &mut self,
        found: &Found<D>,
        offset: u64,
        broken: &Broken,
        counts: Counts,
    ) -> Result<(), OpenError> {
        let is_same = |a: Option<u32>, b| a.is_some() && a == b;
        let is_head = offset == BLOCK && found.segment.number > 1;
        if is_head || !is_same(counts.truncations, self.counts.truncations) {
            return Err(self.lost(found, offset, Some(broken), self.expected().seq));
        }
        let hard_states = counts.hard_states.zip(self.counts.hard_states);
        let hard_states = hard_states.map(|(after, before)| after.wrapping_sub(before));
        // What repeats the hard state of an intact batch is no loss.
        let is_repeated = |lost| lost == 0 || (lost == 1 && self.awaits_insurance);
        let is_known = hard_states.is_some_and(is_repeated);
        self.replay.lose(found.segment.number, !is_known);
        self.awaits_insurance = false;
        self.counts = counts;
        Ok(())
    }

    /// Notes that the log goes on behind the batch at `offset`.
    fn advance(&mut self, found: &Found<D>, offset: u64, header: &BatchHeader) {
        let segment = found.segment.number;
        let end = offset + header.len();
        self.end = Pin { segment, end, seq: header.seq, crc: header.crc };
        self.counts = header.counts_after();
        self.awaits_insurance = header.has(flag::HARD_STATE) && !header.has(flag::MARKER);
        self.is_marked = header.has(flag::MARKER) && header.durable_seq == header.seq - 1;
    }

    /// Carries out the batches of a segment from `start` on, up to `limit` or the first that is not
    /// intact.
    fn scan(
        &mut self,
        found: &Found<D>,
        start: u64,
        limit: u64,
    ) -> Result<(u64, Option<Broken>), OpenError> {
        let mut scanner = Scanner::new(found);
        let mut offset = start;
        while offset < limit {
            let batch = match scanner.batch(offset, self.expected())? {
                Ok(batch) => batch,
                Err(broken) => return Ok((offset, Some(broken))),
            };
            self.carry_out(found, offset, &batch, &[])?;
            self.advance(found, offset, &batch.header);
            offset = self.end.end;
        }
        Ok((offset, None))
    }

    /// Carries out what a batch says, except what its `damaged` payloads would have said.
    fn carry_out(
        &mut self,
        found: &Found<D>,
        offset: u64,
        batch: &Batch,
        damaged: &[usize],
    ) -> Result<(), OpenError> {
        let path = &found.segment.path;
        let unsupported = |what| OpenError::Unsupported { path: path.clone(), found: what };
        let unknown_flags = batch.header.flags & !flag::ALL;
        if unknown_flags != 0 {
            return Err(unsupported(Unsupported::Flags(u32::from(unknown_flags))));
        }
        for (row, descriptor) in batch.table.iter().enumerate() {
            let meaning = descriptor.meaning().map_err(unsupported)?;
            let is_head = row == 0 && offset == BLOCK;
            let is_damaged = damaged.contains(&row);
            if is_damaged && matches!(meaning, Meaning::Change(Change::Repair(..))) {
                // The entry stays as faulty as it was.
                continue;
            }
            // What is said again behind a marker was said in the batch before.
            let fits = if let Meaning::Group(group) = meaning
                && batch.header.has(flag::MARKER)
            {
                self.replay.recall_group(descriptor.slot, group)
            } else {
                let segment = found.segment.number;
                self.carry_out_record(segment, offset, descriptor, meaning, is_head)
            };
            if !fits {
                return Err(corrupt(path, offset, "a record contradicts the log before it"));
            }
            if is_damaged && let Meaning::Change(Change::Entry(id, _)) = meaning {
                self.replay.lose_entry(descriptor.slot, id.index, found.segment.number);
            }
        }
        Ok(())
    }

    fn carry_out_record(
        &mut self,
        segment: u64,
        offset: u64,
        row: &Descriptor,
        meaning: Meaning,
        is_head: bool,
    ) -> bool {
        if is_head {
            // It was compared when the segment was entered.
            return meaning == Meaning::Checkpoint;
        }
        match meaning {
            Meaning::Change(change) => self.replay.change(row.slot, change, segment, offset),
            Meaning::Group(group) => self.replay.add_group(row.slot, group),
            Meaning::Checkpoint => false,
            Meaning::Nothing => true,
        }
    }

    fn plan_seal(&mut self, number: u64) {
        let replay = &self.replay;
        let sections = replay.places.unsealed(number);
        let plan = SealPlan {
            first_seq: self.first_seq,
            body_end: self.end.end,
            last_seq: self.end.seq,
            last_crc: self.end.crc,
            sections: sections.map(|s| s.seal(|group| replay.mark(group))).unwrap_or_default(),
        };
        self.unsealed.push((number, plan));
    }

    /// The log ends in the first segment of `rest`, or before it.
    fn finish(mut self, rest: &[Found<D>]) -> Result<Trail, OpenError> {
        let Some(found) = rest.first() else { return Err(self.missing(1)) };
        if let Some(found) = rest.iter().find(|found| found.len < found.segment.bytes) {
            let what = "the file is shorter than its header says";
            return Err(corrupt(&found.segment.path, found.len, what));
        }
        let number = found.segment.number;
        let (offset, broken, evidence) = self.find_end(rest, found)?;
        let is_used = offset > BLOCK;
        if !is_used && number == self.oldest && number > 1 {
            return Err(self.no_beginning(found, &evidence));
        }
        let at = TailPosition { segment: number, offset, bytes: evidence.signs.bytes };
        let tail = match decide(evidence.signs) {
            Verdict::Clean => Tail::Clean,
            Verdict::Torn => Tail::Torn(at),
            Verdict::Ambiguous => Tail::Ambiguous(at),
            Verdict::Corrupt => {
                let durable = evidence.signs.durable_seq;
                return Err(self.lost(found, offset, broken.as_ref(), durable));
            }
        };
        if is_used && rest.len() == 1 {
            return Err(self.missing(number + 1));
        }
        self.conclude(number, is_used, tail, &evidence)
    }

    /// Where the chain ends, what was found there in place of a batch, and behind it.
    fn find_end(
        &mut self,
        rest: &[Found<D>],
        found: &Found<D>,
    ) -> Result<(u64, Option<Broken>, Evidence), OpenError> {
        let mut start = BLOCK;
        loop {
            let (offset, broken) = self.scan(found, start, found.len)?;
            let seq = self.expected().seq;
            let evidence = evidence::collect(rest, offset, seq, self.is_marked)?;
            let is_final = self.on_corruption == OnCorruption::Fail
                || decide(evidence.signs) != Verdict::Corrupt;
            let broken = match broken {
                Some(broken) if !is_final => broken,
                broken => return Ok((offset, broken, evidence)),
            };
            match self.skip(found, offset, &broken, found.len)? {
                Some(next) => start = next,
                None => return Ok((offset, Some(broken), evidence)),
            }
        }
    }

    fn conclude(
        mut self,
        number: u64,
        is_used: bool,
        tail: Tail,
        evidence: &Evidence,
    ) -> Result<Trail, OpenError> {
        if !self.replay.conclude() {
            let path = self.disk.path(&segment_name(number));
            return Err(corrupt(&path, self.end.end, "a term or a vote before here is lost"));
        }
        if !self.replay.is_complete() {
            return Err(self.missing(self.oldest.saturating_sub(1)));
        }
        let mut used_spares = evidence.used_spares.clone();
        if is_used {
            self.plan_seal(number);
        } else if evidence.signs.bytes > 0 {
            used_spares.push(number);
        }
        self.replay.join(&evidence.findings);
        Ok(Trail {
            replay: self.replay,
            end: self.end,
            tail,
            counts: self.counts,
            next: if is_used { number + 1 } else { number },
            unsealed: self.unsealed,
            used_spares,
            damaged: self.damaged,
        })
    }

    /// The oldest segment has no batch, although compaction deletes a segment only when a later one
    /// has.
    fn no_beginning(&self, found: &Found<D>, evidence: &Evidence) -> OpenError {
        if evidence.signs.bytes == 0 {
            self.missing(found.segment.number - 1)
        } else {
            corrupt(&found.segment.path, BLOCK, "the first batch of the oldest segment is damaged")
        }
    }

    fn missing(&self, number: u64) -> OpenError {
        OpenError::MissingSegment { path: self.disk.path(&segment_name(number)) }
    }

    /// Batches from the expected one to `last` were durable and are not intact.
    fn lost(&self, found: &Found<D>, offset: u64, broken: Option<&Broken>, last: u64) -> OpenError {
        self.corruption(found, offset, broken, last).into()
    }

    fn corruption(
        &self,
        found: &Found<D>,
        offset: u64,
        broken: Option<&Broken>,
        last: u64,
    ) -> Corruption {
        let entries = broken.map(Broken::entries).unwrap_or_default();
        let group = |slot| self.replay.ledger.at(slot).map(|(group, _)| *group);
        Corruption {
            path: found.segment.path.clone(),
            offset,
            what: broken.map_or("a batch is missing", |broken| broken.what),
            batches: Some((self.expected().seq, last)),
            entries: entries.iter().filter_map(|(slot, id)| Some((group(*slot)?, *id))).collect(),
        }
    }
}

/// What the damaged checkpoint of the oldest segment said, as far as the log needs it: what the next
/// intact one says, without what the seals before that one add. `None` if a seal is missing.
fn inferred<D: Disk>(survey: &[Found<D>]) -> Option<Checkpoint> {
    let nth = survey.iter().position(|found| found.head.is_some())?;
    let (headless, rest) = survey.split_at_checked(nth)?;
    let next = rest.first()?.head.as_ref()?;
    let seals: Option<Vec<_>> = headless.iter().map(|found| found.seal.as_ref()).collect();
    let seals = seals?;
    let before = |mark: &GroupMark| {
        let mut sections = seals.iter().flat_map(|(_, sections)| sections);
        match sections.find(|section| section.group == mark.group) {
            Some(section) => section.mark_before(),
            None => *mark,
        }
    };
    let groups = next.checkpoint.groups.iter().map(before).collect();
    let (first, (trailer, _)) = headless.first().zip(seals.first())?;
    let segment = first.segment.number - 1;
    let pin = Pin { segment, seq: trailer.first_seq.checked_sub(1)?, ..Pin::default() };
    Some(Checkpoint { pin, groups })
}

fn corrupt(path: &Path, offset: u64, what: &'static str) -> OpenError {
    let path = path.to_path_buf();
    Corruption { path, offset, what, batches: None, entries: Vec::new() }.into()
}
