//! Frames: packets as bytes, the same over every transport.
//!
//! ```text
//!  0  u8    version = 1
//!  1  u8    kind
//!  2  u8    flags: bit 0 checksum present; all others reserved, 0
//!  3  u8    reserved, 0
//!  4  u32   body length = head length + payload length
//!  8  u32   head length
//! 12  u32   sequence: frames of this stream before this one, wrapping
//! 16  u64   group, never 0
//! 24  16 B  cluster
//! 40  u32   crc32 of bytes 0..40 and of the body if the flag is set, else 0
//! 44  head, in postcard; then the payload: the bytes of entries or commands, end to end
//! ```
//!
//! Numbers are little-endian. `docs/wire-format.md` describes every head.

mod append;
mod decode;
mod encode;
mod error;
mod head;
mod kind;
mod prelude;
mod reader;
mod snapshot;

pub use self::decode::Route;
pub use self::encode::{EncodeError, FrameWriter};
pub use self::error::FrameError;
pub(crate) use self::head::Cursor;
pub use self::kind::FrameKind;
pub use self::prelude::{PRELUDE_LEN, Prelude};
pub use self::reader::{Frame, FrameReader};

/// Who protects frames against flipped bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Integrity {
    /// The channel is encrypted and authenticated: frames carry no checksum, and one that does is
    /// checked all the same.
    Sealed,
    /// Every frame carries a checksum, and one without is refused.
    Checksum,
}
