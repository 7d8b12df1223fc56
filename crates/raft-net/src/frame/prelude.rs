//! The fixed part of a frame.

use raft_core::{ClusterId, GroupId};

use super::{FrameError, FrameKind};
use crate::limits::{FrameLimits, LaneLimits};
use crate::packet::Lane;

/// Length of a [`Prelude`] in bytes.
pub const PRELUDE_LEN: usize = 44;

/// Length of what the checksum covers of the prelude: all before itself.
pub(super) const CHECKED_LEN: usize = 40;

const VERSION: u8 = 1;
const FLAG_CHECKSUM: u8 = 1;

/// The fixed part of a frame. Its layout stands in [`frame`](crate::frame).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Prelude {
    /// What the frame carries.
    pub kind: FrameKind,
    /// Length of head and payload. Invariant: not less than `head_len`.
    pub body_len: u32,
    /// Length of the head.
    pub head_len: u32,
    /// Frames of this stream before this one, wrapping.
    pub sequence: u32,
    /// The Raft group that is meant.
    pub group: GroupId,
    /// The cluster of the sender.
    pub cluster: ClusterId,
    /// Checksum over prelude and body, if there is one.
    pub checksum: Option<u32>,
}

impl Prelude {
    /// The prelude as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PRELUDE_LEN] {
        let flags = if self.checksum.is_some() { FLAG_CHECKSUM } else { 0 };
        let mut out = [0; PRELUDE_LEN];
        let mut rest = out.as_mut_slice();
        put(&mut rest, &[VERSION, self.kind.code(), flags, 0]);
        put(&mut rest, &self.body_len.to_le_bytes());
        put(&mut rest, &self.head_len.to_le_bytes());
        put(&mut rest, &self.sequence.to_le_bytes());
        put(&mut rest, &self.group.get().to_le_bytes());
        put(&mut rest, self.cluster.as_bytes());
        put(&mut rest, &self.checksum.unwrap_or(0).to_le_bytes());
        out
    }

    /// Reads the prelude at the start of `bytes`; `None` if there are not enough of them.
    ///
    /// # Errors
    ///
    /// If it is of a later version, or contradicts itself. The lengths are only claims: see
    /// [`Prelude::check_limits`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(bytes) = bytes.first_chunk::<PRELUDE_LEN>() else { return Ok(None) };
        let [version, kind, flags, reserved] = at(bytes, 0);
        if version != VERSION {
            return Err(FrameError::FutureVersion { version });
        }
        let crc = u32::from_le_bytes(at(bytes, 40));
        let checksum = (flags & FLAG_CHECKSUM != 0).then_some(crc);
        if flags & !FLAG_CHECKSUM != 0 || reserved != 0 || (checksum.is_none() && crc != 0) {
            return Err(FrameError::ReservedBits);
        }
        let kind = FrameKind::from_code(kind)?;
        let body_len = u32::from_le_bytes(at(bytes, 4));
        let head_len = u32::from_le_bytes(at(bytes, 8));
        if head_len > body_len {
            return Err(FrameError::HeadOutsideBody { head_len, body_len });
        }
        let group =
            GroupId::new(u64::from_le_bytes(at(bytes, 16))).ok_or(FrameError::ReservedBits)?;
        Ok(Some(Self {
            kind,
            body_len,
            head_len,
            sequence: u32::from_le_bytes(at(bytes, 12)),
            group,
            cluster: ClusterId::new(at(bytes, 24)),
            checksum,
        }))
    }

    /// Checks that a frame of this kind and these lengths may arrive on `lane`.
    ///
    /// # Errors
    ///
    /// [`FrameError::WrongLane`] or [`FrameError::TooLarge`].
    pub fn check_limits(&self, lane: Lane, limits: FrameLimits) -> Result<(), FrameError> {
        if self.kind.lane() != lane {
            return Err(FrameError::WrongLane { kind: self.kind, lane });
        }
        let LaneLimits { head_max, payload_max } = limits.lane(lane);
        let within = |what, len, max| match len {
            len if len > max => Err(FrameError::TooLarge { what, len, max, lane }),
            _ => Ok(()),
        };
        within("head", self.head_len, head_max)?;
        within("payload", self.body_len - self.head_len, payload_max)
    }
}

fn put(out: &mut &mut [u8], bytes: &[u8]) {
    let (field, rest) =
        std::mem::take(out).split_at_mut_checked(bytes.len()).expect("the fields fill the prelude");
    field.copy_from_slice(bytes);
    *out = rest;
}

fn at<const N: usize>(bytes: &[u8; PRELUDE_LEN], offset: usize) -> [u8; N] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .expect("every field lies in the prelude")
}
