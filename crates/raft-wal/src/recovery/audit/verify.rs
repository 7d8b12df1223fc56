//! Reading every byte of a log.

use super::found::{Cost, Damage, SegmentState, Verification};
use super::walk::Walked;
use super::{Inspector, Met, plain};
use crate::disk::Disk;
use crate::error::{Corruption, DiskError, OpenError};
use crate::format::BLOCK;
use crate::recovered::TailPosition;
use crate::segment::segment_name;

pub(super) fn verify<D: Disk>(inspector: &Inspector<D>) -> Result<Verification, DiskError> {
    let mut verification = Verification::default();
    check_identity(inspector, &mut verification);
    let log = inspector.log_id()?;
    let numbers = inspector.segments()?;
    if numbers.is_empty() {
        verification.miss(inspector, 1);
    }
    let mut before: Option<Walked> = None;
    for number in numbers {
        let expected = before.as_ref().map(|walked| walked.found.number + 1);
        for missing in expected.unwrap_or(number)..number {
            verification.miss(inspector, missing);
        }
        let groups = before.as_ref().map(|walked| walked.groups.clone()).unwrap_or_default();
        let damage = &mut verification.damage;
        let mut each = |met| match met {
            Met::Damage(found) => damage.push(found),
            Met::Batch(_) => {}
        };
        match inspector.walk(log, number, groups, &mut each) {
            // It was compacted away since the directory was listed.
            Ok(None) => {}
            Ok(Some(walked)) => {
                verification.add(before.as_ref(), &walked);
                before = Some(walked);
            }
            Err(error) => verification.unreadable.push(error),
        }
    }
    // A segment is written to only when there is one after it.
    if let Some(last) = before.filter(|walked| walked.found.state == SegmentState::Open) {
        verification.miss(inspector, last.found.number + 1);
    }
    Ok(verification)
}

fn check_identity<D: Disk>(inspector: &Inspector<D>, verification: &mut Verification) {
    let path = || inspector.path("IDENT");
    let corruption = match inspector.identity() {
        Ok(_) => return,
        Err(OpenError::Corrupt(corruption)) => *corruption,
        Err(OpenError::Disk(error)) => {
            verification.unreadable.push(error);
            return;
        }
        Err(_) => plain(path(), 0, "it was written by a later version"),
    };
    verification.damage.push(Damage { corruption, cost: Cost::Data });
}

impl Verification {
    fn miss<D: Disk>(&mut self, inspector: &Inspector<D>, number: u64) {
        let corruption = plain(inspector.path(&segment_name(number)), 0, "the file is missing");
        self.damage.push(Damage { corruption, cost: Cost::Data });
    }

    /// Takes over what a segment holds, and checks that it begins where the one before ends.
    fn add(&mut self, before: Option<&Walked>, walked: &Walked) {
        let found = &walked.found;
        if found.state == SegmentState::Open || (found.state == SegmentState::Sealed) {
            let (segment, offset) = (found.number, found.end);
            self.end = Some(TailPosition { segment, offset, bytes: found.tail_bytes });
        } else if let Some(end) = self.end.as_mut() {
            end.bytes += found.tail_bytes;
        }
        self.segments.push(found.clone());
        let (Some(begin), Some(end)) = (walked.begin, before.and_then(|before| before.end)) else {
            return;
        };
        let is_next = before.is_some_and(|before| before.found.number + 1 == found.number);
        if is_next && begin != end {
            let what = "the segment does not begin where the one before it ended";
            let batches = Some((end.seq + 1, begin.seq));
            let corruption = Corruption { batches, ..plain(found.path.clone(), BLOCK, what) };
            self.damage.push(Damage { corruption, cost: Cost::Data });
        }
    }
}
