//! The end of recovery: making its decision durable.
//!
//! The log never goes on in a segment that an earlier process wrote to. A new segment begins with a
//! checkpoint that pins where the old one ended; from then on the decision cannot change. A crash
//! at any point before leads to the same decision again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::Trail;
use super::creation::prepare;
use super::mend::{self, Header};
use super::survey::Found;
use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{DiskError, Doing as _, OpenError};
use crate::format::BLOCK;
use crate::format::checkpoint::Checkpoint;
use crate::format::encode::{End, Stamp, encode_batch};
use crate::format::header::SegmentHeader;
use crate::format::ident::Ident;
use crate::format::record::Record;
use crate::log::{Active, Chain, Parts, delete_segment};
use crate::num::{align_up, narrow, wide};
use crate::options::Options;
use crate::segment::{Segment, TEMPORARY};
use crate::view::{Shared, View};

/// Begins the segment `trail.next` and hands over what a running log needs.
pub(super) fn activate<D: Disk>(
    disk: D,
    lock: D::Lock,
    ident: &Ident,
    options: Options,
    survey: Vec<Found<D>>,
    mut trail: Trail,
) -> Result<Parts<D>, OpenError> {
    remove_temporaries(&disk)?;
    mend::write_copied(&survey)?;
    let unneeded = survey.iter().filter(|found| found.header == Header::Unneeded);
    trail.used_spares.extend(unneeded.map(|found| found.segment.number));
    let segments = survey.into_iter().map(|found| (found.segment.number, found.segment));
    let mut used: BTreeMap<u64, Segment<D>> = segments.collect();
    let found = used.split_off(&trail.next);
    let last = used.last_key_value().map(|(_, segment)| segment.block.own);
    delete_unused(&disk, &mut used, &trail)?;
    let mut spares = ready(&disk, ident, &options, found, last, &trail)?;
    let Some(segment) = spares.remove(&trail.next) else {
        return Err(OpenError::MissingSegment { path: disk.path("") });
    };
    let segment = Arc::new(segment);
    let (active, chain) = begin(segment, &trail)?;
    for (number, plan) in &trail.unsealed {
        if let Some(segment) = used.get(number) {
            segment.seal(plan)?;
            trail.replay.places.forget_index(*number);
        }
    }
    trail.replay.places.begin(active.segment.number);
    let mut segments: BTreeMap<_, _> =
        used.into_iter().map(|(number, segment)| (number, Arc::new(segment))).collect();
    segments.insert(active.segment.number, Arc::clone(&active.segment));
    let count = wide(segments.len());
    let mut view = View::new(&trail.replay.ledger, trail.replay.places, segments, &options);
    view.stats.segments = count;
    Ok(Parts {
        disk,
        lock,
        uuid: ident.uuid,
        shared: Arc::new(Shared::new(view, options.read_mode)),
        options,
        ledger: trail.replay.ledger,
        active,
        chain,
        spares,
    })
}

/// The segments from `trail.next` on that can be written to. The one after the new one exists, and has
/// its header, before the new one is written to; so a copy of another life of its makes it useless.
fn ready<D: Disk>(
    disk: &D,
    ident: &Ident,
    options: &Options,
    mut found: BTreeMap<u64, Segment<D>>,
    mut before: Option<SegmentHeader>,
    trail: &Trail,
) -> Result<BTreeMap<u64, Segment<D>>, OpenError> {
    let mut ready = BTreeMap::new();
    for number in trail.next.. {
        let unused = found.remove(&number).filter(|_| !trail.used_spares.contains(&number));
        let fitting = unused.filter(|segment| {
            let is_linked = segment.block.before.is_none_or(|copy| Some(copy) == before);
            segment.bytes == options.segment_bytes && is_linked
        });
        let segment = match fitting {
            Some(segment) => segment,
            None if number <= trail.next + 1 => {
                prepare(disk, ident.uuid, options.segment_bytes, before)?
            }
            None => break,
        };
        before = Some(segment.block.own);
        ready.insert(number, segment);
    }
    Ok(ready)
}

fn remove_temporaries<D: Disk>(disk: &D) -> Result<(), DiskError> {
    let names = disk.list().doing("list", &disk.path(""))?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY)) {
        disk.unlink(name).doing("delete", &disk.path(name))?;
    }
    Ok(())
}

/// Deletes segments that a compaction emptied, where a crash had kept them or brought them back.
/// The last one stays: its hard states are not repeated anywhere yet.
fn delete_unused<D: Disk>(
    disk: &D,
    used: &mut BTreeMap<u64, Segment<D>>,
    trail: &Trail,
) -> Result<(), DiskError> {
    while let Some(oldest) = used.first_entry() {
        let number = *oldest.key();
        if number >= trail.end.segment || trail.replay.places.uses(number) {
            break;
        }
        delete_segment(disk, number)?;
        oldest.remove();
    }
    Ok(())
}

/// Writes the checkpoint that pins the end of the log, and makes it durable.
fn begin<D: Disk>(
    segment: Arc<Segment<D>>,
    trail: &Trail,
) -> Result<(Active<D>, Chain), DiskError> {
    let checkpoint = Checkpoint { pin: trail.end, groups: trail.replay.ledger.marks() };
    let stamp = Stamp {
        seed: segment.seed,
        segment: segment.number,
        offset: BLOCK,
        seq: trail.end.seq + 1,
        durable_seq: trail.end.seq,
        prev_crc: trail.end.crc,
        counts: trail.counts,
        flags: 0,
        end: End::Packed,
    };
    let mut buffer = Vec::new();
    let header = encode_batch(&mut buffer, &[Record::checkpoint(checkpoint.encode())], stamp);
    let end = BLOCK + wide(buffer.len());
    buffer.resize(narrow(align_up(end, BLOCK) - BLOCK), 0);
    segment.file.write_all_at(BLOCK, &buffer).doing("write to", &segment.path)?;
    segment.file.sync_data().doing("sync", &segment.path)?;
    let chain = Chain {
        seq: header.seq,
        crc: header.crc,
        durable_seq: header.seq,
        counts: header.counts_after(),
        marked: false,
    };
    let index_bytes = crate::format::seal::INDEX_HEAD_LEN;
    let active = Active { segment, end, first_seq: header.seq, index_bytes, pin: None };
    Ok((active, chain))
}
