//! Bounds on what may arrive, checked before anything is allocated.

use crate::packet::Lane;

/// Most entries or commands in one frame.
pub const ITEMS_MAX: u32 = 64 * 1024;

/// Bounds on frames, which both sides of a connection tell each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameLimits {
    append_payload_max: u32,
}

/// Bounds on a frame of one lane, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LaneLimits {
    /// Longest head.
    pub head_max: u32,
    /// Longest payload.
    pub payload_max: u32,
}

impl FrameLimits {
    /// Smallest `append_payload_max` that a node may ask for.
    pub const APPEND_PAYLOAD_FLOOR: u32 = 64 * 1024;
    /// Largest `append_payload_max` that a node may ask for.
    pub const APPEND_PAYLOAD_CEILING: u32 = 64 * 1024 * 1024;

    /// Allows `append_payload_max` bytes of commands in one packet, or as near to that as
    /// [`Self::APPEND_PAYLOAD_FLOOR`] and [`Self::APPEND_PAYLOAD_CEILING`] permit.
    #[must_use]
    pub fn new(append_payload_max: u32) -> Self {
        let append_payload_max =
            append_payload_max.clamp(Self::APPEND_PAYLOAD_FLOOR, Self::APPEND_PAYLOAD_CEILING);
        Self { append_payload_max }
    }

    /// Most bytes of commands in one packet.
    #[must_use]
    pub const fn append_payload_max(self) -> u32 {
        self.append_payload_max
    }

    /// What both sides can take.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self { append_payload_max: self.append_payload_max.min(other.append_payload_max) }
    }

    /// Bounds on the frames of `lane`.
    #[must_use]
    pub const fn lane(self, lane: Lane) -> LaneLimits {
        match lane {
            Lane::Control => LaneLimits { head_max: 4 * 1024, payload_max: 0 },
            // The lengths of all entries stand in the head, in at most five bytes each.
            Lane::Append => {
                LaneLimits { head_max: 512 * 1024, payload_max: self.append_payload_max }
            }
            Lane::Bulk => LaneLimits { head_max: 16 * 1024, payload_max: 1024 * 1024 },
        }
    }
}

impl Default for FrameLimits {
    /// Eight mebibytes of commands in one packet.
    fn default() -> Self {
        Self { append_payload_max: 8 * 1024 * 1024 }
    }
}
