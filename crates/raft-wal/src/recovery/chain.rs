//! Following the chain of batches through all segments to its end.

use std::path::Path;

use super::evidence::{self, Evidence};
use super::replay::Replay;
use super::scan::{Batch, Broken, Expected, Scanner};
use super::survey::{Found, Head};
use super::verdict::{Verdict, decide};
use crate::disk::Disk;
use crate::error::{Corruption, OpenError};
use crate::format::batch::flag;
use crate::format::checkpoint::Pin;
use crate::format::record::{Descriptor, Meaning};
use crate::format::{BLOCK, Unsupported};
use crate::recovered::{Tail, TailPosition};
use crate::segment::{SealPlan, segment_name};

/// Where the chain ends, and what it says.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) replay: Replay,
    /// The end of the last segment with a batch; its `segment` is 0 if there is none.
    pub(super) end: Pin,
    pub(super) tail: Tail,
    /// The segment to go on in.
    pub(super) next: u64,
    /// Segments to be sealed.
    pub(super) unsealed: Vec<(u64, SealPlan)>,
    /// Segments from `next` on that must be prepared again.
    pub(super) used_spares: Vec<u64>,
}

/// Follows the chain from the oldest segment on.
pub(super) fn follow<D: Disk>(disk: &D, survey: &[Found<D>]) -> Result<Trail, OpenError> {
    let mut walk = Walk {
        disk,
        replay: Replay::default(),
        end: Pin::default(),
        first_seq: 1,
        is_marked: false,
        oldest: survey.first().map_or(0, |found| found.segment.number),
        unsealed: Vec::new(),
    };
    for (nth, found) in survey.iter().enumerate() {
        let rest = survey.get(nth..).unwrap_or_default();
        walk.enter(found, nth == 0)?;
        let next = rest.get(1);
        match (&found.seal, next.and_then(|next| next.head.as_ref())) {
            (_, Some(head)) => walk.pass(found, head)?,
            (None, None) => return walk.finish(rest),
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
    replay: Replay,
    /// Where the last batch ends.
    end: Pin,
    /// The first batch of the current segment.
    first_seq: u64,
    /// Whether the last batch is a marker for all before it.
    is_marked: bool,
    /// Number of the first segment there is.
    oldest: u64,
    unsealed: Vec<(u64, SealPlan)>,
}

impl<D: Disk> Walk<'_, D> {
    /// Checks that a segment begins where the one before ended.
    fn enter(&mut self, found: &Found<D>, is_oldest: bool) -> Result<(), OpenError> {
        let Some(head) = &found.head else { return Ok(()) };
        let at_head = |what| corrupt(&found.segment.path, BLOCK, what);
        if is_oldest {
            let is_first = found.segment.number == 1;
            self.end = if is_first { Pin::default() } else { head.checkpoint.pin };
            if self.end.segment + 1 != found.segment.number || !self.replay.begin(&head.checkpoint)
            {
                return Err(at_head("the checkpoint is of another segment"));
            }
        }
        if head.checkpoint.pin != self.end {
            return Err(at_head("the segment does not begin where the one before it ended"));
        }
        if !self.replay.agrees_with(&head.checkpoint) {
            return Err(at_head("the checkpoint differs from the log before it"));
        }
        self.replay.adopt(&head.checkpoint);
        self.first_seq = self.end.seq + 1;
        Ok(())
    }

    const fn expected(&self) -> Expected {
        Expected { seq: self.end.seq + 1, prev_crc: self.end.crc }
    }

    /// Goes through a segment whose end the next one pins.
    fn pass(&mut self, found: &Found<D>, next: &Head) -> Result<(), OpenError> {
        let pin = next.checkpoint.pin;
        match &found.seal {
            None => self.pass_unsealed(found, pin)?,
            Some((trailer, sections)) => {
                let path = &found.segment.path;
                let head = found
                    .head
                    .as_ref()
                    .map(|head| Expected { seq: head.header.seq, prev_crc: head.header.prev_crc });
                if head != Some(self.expected()) || trailer.first_seq != self.expected().seq {
                    return Err(corrupt(path, BLOCK, "the first batch of the segment is damaged"));
                }
                if !self.replay.absorb(found.segment.number, sections) {
                    let offset = trailer.index_offset;
                    return Err(corrupt(path, offset, "the index contradicts the log before it"));
                }
                self.is_marked = false;
                self.end = Pin {
                    segment: found.segment.number,
                    end: trailer.body_end,
                    seq: trailer.last_seq,
                    crc: trailer.last_crc,
                };
            }
        }
        if self.end == pin {
            return Ok(());
        }
        Err(corrupt(
            &found.segment.path,
            pin.end,
            "the segment does not end where the next one says",
        ))
    }

    fn pass_unsealed(&mut self, found: &Found<D>, pin: Pin) -> Result<(), OpenError> {
        let (end, broken) = self.scan(found, pin.end)?;
        if end < pin.end {
            return Err(self.lost(found, end, broken.as_ref(), pin.seq));
        }
        self.plan_seal(found.segment.number);
        Ok(())
    }

    /// Carries out the batches of a segment, up to `limit` or the first that is not intact.
    fn scan(&mut self, found: &Found<D>, limit: u64) -> Result<(u64, Option<Broken>), OpenError> {
        let mut scanner = Scanner::new(found);
        let mut offset = BLOCK;
        while offset < limit {
            let batch = match scanner.batch(offset, self.expected())? {
                Ok(batch) => batch,
                Err(broken) => return Ok((offset, Some(broken))),
            };
            self.carry_out(found, offset, &batch)?;
            offset += batch.header.len();
            self.end = Pin {
                segment: found.segment.number,
                end: offset,
                seq: batch.header.seq,
                crc: batch.header.crc,
            };
            self.is_marked =
                batch.header.has(flag::MARKER) && batch.header.durable_seq == batch.header.seq - 1;
        }
        Ok((offset, None))
    }

    fn carry_out(&mut self, found: &Found<D>, offset: u64, batch: &Batch) -> Result<(), OpenError> {
        let path = &found.segment.path;
        let unsupported = |what| OpenError::Unsupported { path: path.clone(), found: what };
        let unknown_flags = batch.header.flags & !flag::ALL;
        if unknown_flags != 0 {
            return Err(unsupported(Unsupported::Flags(u32::from(unknown_flags))));
        }
        for (row, descriptor) in batch.table.iter().enumerate() {
            let meaning = descriptor.meaning().map_err(unsupported)?;
            let is_head = row == 0 && offset == BLOCK;
            if !self.carry_out_record(found.segment.number, offset, descriptor, meaning, is_head) {
                return Err(corrupt(path, offset, "a record contradicts the log before it"));
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
        if let Some(found) = rest.iter().find(|found| found.len != found.segment.bytes) {
            let what = "the file is not as long as its header says";
            return Err(corrupt(&found.segment.path, found.len.min(found.segment.bytes), what));
        }
        let number = found.segment.number;
        let (offset, broken) = self.scan(found, found.len)?;
        let expected_seq = self.expected().seq;
        let evidence = evidence::collect(rest, offset, expected_seq, self.is_marked)?;
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

    fn conclude(
        mut self,
        number: u64,
        is_used: bool,
        tail: Tail,
        evidence: &Evidence,
    ) -> Result<Trail, OpenError> {
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
            next: if is_used { number + 1 } else { number },
            unsealed: self.unsealed,
            used_spares,
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
        let entries = broken.map(|broken| broken.entries.as_slice()).unwrap_or_default();
        let group = |slot| self.replay.ledger.at(slot).map(|(group, _)| *group);
        Corruption {
            path: found.segment.path.clone(),
            offset,
            what: broken.map_or("a batch is missing", |broken| broken.what),
            batches: Some((self.expected().seq, last)),
            entries: entries.iter().filter_map(|(slot, id)| Some((group(*slot)?, *id))).collect(),
        }
        .into()
    }
}

fn corrupt(path: &Path, offset: u64, what: &'static str) -> OpenError {
    let path = path.to_path_buf();
    Corruption { path, offset, what, batches: None, entries: Vec::new() }.into()
}
