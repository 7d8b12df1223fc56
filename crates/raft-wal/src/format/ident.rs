//! The identity file: whose log this is.
//!
//! ```text
//!    0   8  magic
//!    8   2  major version     a reader refuses any other
//!   10   2  minor version
//!   12   4  incompatible flags, unknown bits are refused
//!   16   4  flags for writers, unknown bits are refused
//!   20   4  length of the block, 4096
//!   24  16  log id, drawn at random at creation
//!   40  16  cluster id
//!   56   8  server id
//!   64   8  segment size at creation
//!   72   8  time of creation, Unix milliseconds; never used in a decision
//!   80      zeros
//! 4092   4  crc32 of [0, 4092)
//! ```

use raft_core::{ClusterId, NodeId};

use super::crc::{close_block, open_block};
use super::fields::{Fields, Put};
use super::{BLOCK, BlockError, MAGIC, MAJOR, MINOR, Unsupported};
use crate::num::{narrow, wide};
use crate::submit::Identity;

/// Random name of one log directory, repeated in each segment.
pub(crate) type LogUuid = [u8; 16];

/// The content of the identity file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ident {
    pub(crate) uuid: LogUuid,
    pub(crate) identity: Identity,
    pub(crate) segment_bytes: u64,
    pub(crate) created_unix_ms: u64,
}

impl Ident {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(narrow(BLOCK));
        put_prefix(&mut block);
        block.put(&self.uuid);
        block.put(self.identity.cluster.as_bytes());
        block.put_u64(self.identity.node.get());
        block.put_u64(self.segment_bytes);
        block.put_u64(self.created_unix_ms);
        close_block(block, narrow(BLOCK))
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BlockError> {
        let content = check_prefix(block)?;
        let mut fields = Fields::new(content);
        let ident = decode_fields(&mut fields).ok_or(BlockError::Damaged("a field is invalid"))?;
        check_reserved(fields.rest())?;
        Ok(ident)
    }
}

fn decode_fields(fields: &mut Fields<'_>) -> Option<Ident> {
    fields.slice(PREFIX_LEN)?;
    Some(Ident {
        uuid: fields.array()?,
        identity: Identity {
            cluster: ClusterId::new(fields.array()?),
            node: NodeId::new(fields.u64()?)?,
        },
        segment_bytes: fields.u64()?,
        created_unix_ms: fields.u64()?,
    })
}

/// Length of what all blocks with a version begin with: magic, versions, flags, length.
pub(super) const PREFIX_LEN: usize = 24;

pub(super) fn put_prefix(block: &mut Vec<u8>) {
    block.put(&MAGIC);
    block.put_u16(MAJOR);
    block.put_u16(MINOR);
    block.put_u32(0);
    block.put_u32(0);
    block.put_u32(4096);
}

/// Checks magic, version, flags and checksum, in the order that lets a later version be named.
pub(super) fn check_prefix(block: &[u8]) -> Result<&[u8], BlockError> {
    const SHORT: BlockError = BlockError::Damaged("the file is too short");
    let mut fields = Fields::new(block);
    if fields.array().ok_or(SHORT)? != MAGIC {
        return Err(BlockError::Damaged("the first bytes are not those of a raft-wal file"));
    }
    let major = fields.u16().ok_or(SHORT)?;
    let content = open_block(block).ok_or(BlockError::Damaged("the checksum differs"))?;
    if major != MAJOR {
        return Err(BlockError::Unsupported(Unsupported::Version(major)));
    }
    fields.u16().ok_or(SHORT)?;
    for _ in 0..2 {
        match fields.u32().ok_or(SHORT)? {
            0 => {}
            flags => return Err(BlockError::Unsupported(Unsupported::Flags(flags))),
        }
    }
    let len = fields.u32().ok_or(SHORT)?;
    if u64::from(len) != BLOCK || wide(block.len()) != BLOCK {
        return Err(BlockError::Damaged("the length differs"));
    }
    Ok(content)
}

pub(super) fn check_reserved(rest: &[u8]) -> Result<(), BlockError> {
    if super::fields::is_zero(rest) {
        Ok(())
    } else {
        Err(BlockError::Damaged("reserved bytes are not zero"))
    }
}
