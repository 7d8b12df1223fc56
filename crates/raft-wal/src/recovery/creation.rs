//! The identity file, and creating a log.
//!
//! Creation prepares two segments and then writes the identity file: that is its commit point. A
//! crash before leaves empty segments, and the next open begins again.

use super::survey::{is_unused, read_block};
use crate::disk::{Disk, DiskFile as _, DiskFileExt as _};
use crate::error::{Corruption, DiskError, Doing as _, OpenError};
use crate::format::header::SegmentHeader;
use crate::format::ident::{Ident, LogUuid};
use crate::format::{BLOCK, BlockError};
use crate::num::narrow;
use crate::options::Options;
use crate::segment::{Preparation, Segment, TEMPORARY, segment_number};
use crate::submit::Identity;
use raft_core::ClusterId;

const IDENT: &str = "IDENT";

/// Reads the identity file and checks that the log is ours; creates the log if there is none.
/// Says whether it did.
pub(super) fn establish<D: Disk>(
    disk: &D,
    identity: Identity,
    options: &Options,
) -> Result<(Ident, bool), OpenError> {
    let names = disk.list().doing("list", &disk.path(""))?;
    if names.iter().any(|name| name == IDENT) {
        return Ok((find(disk, identity)?, false));
    }
    check_unused(disk, &names)?;
    Ok((create(disk, identity, options)?, true))
}

/// Reads the identity file of a log that must exist, and checks that it is ours.
pub(super) fn find<D: Disk>(disk: &D, identity: Identity) -> Result<Ident, OpenError> {
    let ident = read_ident(disk)?;
    check_identity(disk, &ident, identity)?;
    Ok(ident)
}

/// Writes another cluster into the identity file of a log that is `identity`'s.
pub(crate) fn give_to<D: Disk>(
    disk: &D,
    identity: Identity,
    cluster: ClusterId,
) -> Result<Identity, OpenError> {
    let lock = disk.lock().doing("lock", &disk.path("LOCK"))?;
    let Some(_lock) = lock else {
        return Err(OpenError::AlreadyOpen { dir: disk.path("") });
    };
    let ident = find(disk, identity)?;
    let given = Identity { cluster, ..identity };
    write_ident(disk, &Ident { identity: given, ..ident })?;
    Ok(given)
}

pub(super) fn read_ident<D: Disk>(disk: &D) -> Result<Ident, OpenError> {
    let path = disk.path(IDENT);
    let file = disk.open_read_only(IDENT).doing("open", &path)?;
    // One byte more than there should be, so that a longer file is noticed.
    let mut block = vec![0; narrow(BLOCK) + 1];
    let len = file.read_full_at(0, &mut block).doing("read", &path)?;
    block.truncate(len);
    Ident::decode(&block).map_err(|error| match error {
        BlockError::Unsupported(found) => OpenError::Unsupported { path, found },
        BlockError::Damaged(what) => {
            Corruption { path, offset: 0, what, batches: None, entries: Vec::new() }.into()
        }
    })
}

fn check_identity<D: Disk>(disk: &D, ident: &Ident, expected: Identity) -> Result<(), OpenError> {
    let found = ident.identity;
    if found.cluster != expected.cluster {
        return Err(OpenError::OtherCluster {
            dir: disk.path(""),
            found: found.cluster,
            expected: expected.cluster,
        });
    }
    if found.node != expected.node {
        return Err(OpenError::OtherNode {
            dir: disk.path(""),
            found: found.node,
            expected: expected.node,
        });
    }
    Ok(())
}

/// Checks that segments without an identity file are those of an unfinished creation: never
/// written to.
fn check_unused<D: Disk>(disk: &D, names: &[String]) -> Result<(), OpenError> {
    for name in names.iter().filter(|name| segment_number(name).is_some()) {
        let path = disk.path(name);
        let file = disk.open(name).doing("open", &path)?;
        let has_header = read_block(&file, &path)?.is_ok();
        if !(has_header && is_unused(&file, &path)?) {
            return Err(OpenError::MissingIdent { dir: disk.path("") });
        }
    }
    Ok(())
}

fn create<D: Disk>(disk: &D, identity: Identity, options: &Options) -> Result<Ident, OpenError> {
    let uuid = disk.random().doing("draw random bytes for", &disk.path(IDENT))?;
    let first = prepare(disk, uuid, options.segment_bytes, None)?;
    prepare(disk, uuid, options.segment_bytes, Some(first.block.own))?;
    let ident = Ident {
        uuid,
        identity,
        segment_bytes: options.segment_bytes,
        created_unix_ms: disk.unix_millis(),
    };
    write_ident(disk, &ident)?;
    Ok(ident)
}

fn write_ident<D: Disk>(disk: &D, ident: &Ident) -> Result<(), DiskError> {
    let temporary = IDENT.to_owned() + TEMPORARY;
    let path = disk.path(&temporary);
    let file = disk.create(&temporary).doing("create", &path)?;
    file.write_all_at(0, &ident.encode()).doing("write to", &path)?;
    file.sync_data().doing("sync", &path)?;
    disk.rename(&temporary, IDENT).doing("rename a file to", &disk.path(IDENT))?;
    disk.sync_dir().doing("sync the directory", &disk.path(""))
}

/// Prepares the segment after `before`, and tells want of space from other failures.
pub(super) fn prepare<D: Disk>(
    disk: &D,
    uuid: LogUuid,
    bytes: u64,
    before: Option<SegmentHeader>,
) -> Result<Segment<D>, OpenError> {
    Segment::prepare(disk, Preparation { uuid, bytes, before }).map_err(|source| {
        if source.is_no_space() {
            OpenError::NoSpace { bytes, source }
        } else {
            OpenError::Disk(source)
        }
    })
}
