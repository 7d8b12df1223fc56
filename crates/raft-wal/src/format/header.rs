//! The header block of a segment, durable before the file gets its name, and immutable.
//!
//! ```text
//!    0  24  as in the identity file
//!   24   8  segment number
//!   32  16  log id, must equal the identity file's
//!   48  16  salt, fresh at every preparation
//!   64   8  segment size
//!   72   8  time of preparation, Unix milliseconds; never used in a decision
//!   80      zeros
//! 4092   4  crc32 of [0, 4092)
//! ```

use super::crc::{Salt, close_block};
use super::fields::{Fields, Put};
use super::ident::{LogUuid, PREFIX_LEN, check_prefix, check_reserved, put_prefix};
use super::{BLOCK, BlockError};
use crate::num::narrow;

/// The content of a segment's header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) uuid: LogUuid,
    pub(crate) salt: Salt,
    pub(crate) segment_bytes: u64,
    pub(crate) created_unix_ms: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(narrow(BLOCK));
        put_prefix(&mut block);
        block.put_u64(self.number);
        block.put(&self.uuid);
        block.put(&self.salt);
        block.put_u64(self.segment_bytes);
        block.put_u64(self.created_unix_ms);
        close_block(block, narrow(BLOCK))
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BlockError> {
        let content = check_prefix(block)?;
        let mut fields = Fields::new(content);
        let header = decode_fields(&mut fields).ok_or(BlockError::Damaged("a field is missing"))?;
        check_reserved(fields.rest())?;
        Ok(header)
    }
}

fn decode_fields(fields: &mut Fields<'_>) -> Option<SegmentHeader> {
    fields.slice(PREFIX_LEN)?;
    Some(SegmentHeader {
        number: fields.u64()?,
        uuid: fields.array()?,
        salt: fields.array()?,
        segment_bytes: fields.u64()?,
        created_unix_ms: fields.u64()?,
    })
}
