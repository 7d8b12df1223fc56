//! The header block of a segment, durable before the file gets its name, and immutable.
//!
//! ```text
//!    0  24  as in the identity file
//!   24  56  the header of this segment:
//!              0   8  segment number
//!              8  16  log id, must equal the identity file's
//!             24  16  salt, fresh at every preparation
//!             40   8  segment size
//!             48   8  time of preparation, Unix milliseconds; never used in a decision
//!   80  56  a copy of the header of the segment before; zeros if there is none
//!  136      zeros
//! 4092   4  crc32 of [0, 4092)
//! ```

use super::crc::{Salt, close_block};
use super::fields::{Fields, Put, is_zero};
use super::ident::{LogUuid, PREFIX_LEN, check_prefix, check_reserved, put_prefix};
use super::{BLOCK, BlockError};
use crate::num::narrow;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) uuid: LogUuid,
    pub(crate) salt: Salt,
    pub(crate) segment_bytes: u64,
    pub(crate) created_unix_ms: u64,
}

/// The content of a segment's header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HeaderBlock {
    pub(crate) own: SegmentHeader,
    /// The header of the segment before, as it was when this one was prepared. Nothing in a segment
    /// can be read without its salt, and so it does not stand in one file only.
    pub(crate) before: Option<SegmentHeader>,
}

const HEADER_LEN: usize = 56;

impl HeaderBlock {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(narrow(BLOCK));
        put_prefix(&mut block);
        self.own.put(&mut block);
        if let Some(before) = &self.before {
            before.put(&mut block);
        }
        close_block(block, narrow(BLOCK))
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BlockError> {
        const MISSING: BlockError = BlockError::Damaged("a field is missing");
        let content = check_prefix(block)?;
        let mut fields = Fields::new(content);
        fields.slice(PREFIX_LEN).ok_or(MISSING)?;
        let own = SegmentHeader::take(&mut fields).ok_or(MISSING)?;
        let before = fields.slice(HEADER_LEN).ok_or(MISSING)?;
        check_reserved(fields.rest())?;
        if is_zero(before) {
            return Ok(Self { own, before: None });
        }
        let before = SegmentHeader::take(&mut Fields::new(before)).ok_or(MISSING)?;
        if before.number.checked_add(1) != Some(own.number) || before.uuid != own.uuid {
            return Err(BlockError::Damaged("the copy is of another segment"));
        }
        Ok(Self { own, before: Some(before) })
    }
}

impl SegmentHeader {
    fn put(&self, block: &mut Vec<u8>) {
        block.put_u64(self.number);
        block.put(&self.uuid);
        block.put(&self.salt);
        block.put_u64(self.segment_bytes);
        block.put_u64(self.created_unix_ms);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            number: fields.u64()?,
            uuid: fields.array()?,
            salt: fields.array()?,
            segment_bytes: fields.u64()?,
            created_unix_ms: fields.u64()?,
        })
    }
}
