//! What is replicated: every change of the store, and how it is written into the log.
//!
//! ```text
//! command   = version:u8=1  kind:u8  fields            (integers are little-endian)
//! 1 SET     = flags:u8  text(key)  text(value)  [text(expected), if the condition is Equals]
//! 2 DEL     = count:u32  text(key) * count
//! 3 INCRBY  = by:i64  text(key)
//! text      = length:u32  bytes
//! flags     = condition in bits 0-1 (0 always, 1 absent, 2 present, 3 equals); bit 2 return previous
//! ```
//!
//! A log outlives the program that wrote it: a kind or a flag never changes its meaning, and what
//! is unknown is refused by name.

use bytes::{Buf, BufMut, Bytes};

/// A change of the store.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Sets a key, if the condition holds.
    Set(Set),
    /// Removes keys.
    Delete {
        /// Which ones; the same one twice counts once.
        keys: Vec<Bytes>,
    },
    /// Adds to the number under a key.
    Increment {
        /// The key; a missing one counts from zero.
        key: Bytes,
        /// What to add.
        by: i64,
    },
}

/// `SET key value` and what may stand behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Set {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// When to set it.
    pub condition: Condition,
    /// Answer with the previous value, whether it was replaced or not.
    pub return_previous: bool,
}

/// When a key is set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Whatever is there.
    #[default]
    Always,
    /// If there is nothing (`NX`).
    Absent,
    /// If there is something (`XX`).
    Present,
    /// If exactly this is there (`IFEQ`): a compare-and-set.
    Equals(Bytes),
}

/// Why bytes of the log are not a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a later version of this program.
    #[error("a command of format {version} is in the log: start a newer raft-kv")]
    Version {
        /// The format found.
        version: u8,
    },
    /// A kind that this version does not know.
    #[error("a command of kind {kind} is in the log: start a newer raft-kv")]
    Kind {
        /// The kind found.
        kind: u8,
    },
    /// Flags that this version does not know.
    #[error("a SET with flags {flags:#04x} is in the log: start a newer raft-kv")]
    Flags {
        /// The flags found.
        flags: u8,
    },
    /// Fields that do not fill the command exactly.
    #[error("a command in the log is too short or too long for its kind")]
    Length,
}

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 2;
const KIND_SET: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_INCREMENT: u8 = 3;
const FLAGS_CONDITION: u8 = 0b011;
const FLAG_RETURN_PREVIOUS: u8 = 0b100;

impl Command {
    /// The command as it stands in the log: one allocation.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.fields_length());
        out.put_u8(VERSION);
        match self {
            Self::Set(set) => {
                out.put_u8(KIND_SET);
                set.encode(&mut out);
            }
            Self::Delete { keys } => {
                out.put_u8(KIND_DELETE);
                out.put_u32_le(length_u32(keys.len()));
                keys.iter().for_each(|key| put_text(key, &mut out));
            }
            Self::Increment { key, by } => {
                out.put_u8(KIND_INCREMENT);
                out.put_i64_le(*by);
                put_text(key, &mut out);
            }
        }
        Bytes::from(out)
    }

    /// Reads what [`Command::to_bytes`] wrote. Keys and values are slices of `bytes`.
    ///
    /// # Errors
    ///
    /// If `bytes` are anything else.
    pub fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let version = bytes.try_get_u8().map_err(|_| DecodeError::Length)?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        let command = match bytes.try_get_u8().map_err(|_| DecodeError::Length)? {
            KIND_SET => Self::Set(Set::decode(&mut bytes)?),
            KIND_DELETE => Self::Delete { keys: take_keys(&mut bytes)? },
            KIND_INCREMENT => {
                let by = bytes.try_get_i64_le().map_err(|_| DecodeError::Length)?;
                Self::Increment { key: take_text(&mut bytes)?, by }
            }
            kind => return Err(DecodeError::Kind { kind }),
        };
        if bytes.is_empty() { Ok(command) } else { Err(DecodeError::Length) }
    }

    fn fields_length(&self) -> usize {
        match self {
            Self::Set(set) => set.length(),
            Self::Delete { keys } => LENGTH_BYTES + keys.iter().map(text_length).sum::<usize>(),
            Self::Increment { key, .. } => size_of::<i64>() + text_length(key),
        }
    }
}

impl Set {
    fn encode(&self, out: &mut Vec<u8>) {
        let condition = match self.condition {
            Condition::Always => 0,
            Condition::Absent => 1,
            Condition::Present => 2,
            Condition::Equals(_) => 3,
        };
        let previous = if self.return_previous { FLAG_RETURN_PREVIOUS } else { 0 };
        out.put_u8(condition | previous);
        put_text(&self.key, out);
        put_text(&self.value, out);
        if let Condition::Equals(expected) = &self.condition {
            put_text(expected, out);
        }
    }

    fn decode(bytes: &mut Bytes) -> Result<Self, DecodeError> {
        let flags = bytes.try_get_u8().map_err(|_| DecodeError::Length)?;
        if flags & !(FLAGS_CONDITION | FLAG_RETURN_PREVIOUS) != 0 {
            return Err(DecodeError::Flags { flags });
        }
        let key = take_text(bytes)?;
        let value = take_text(bytes)?;
        let condition = match flags & FLAGS_CONDITION {
            0 => Condition::Always,
            1 => Condition::Absent,
            2 => Condition::Present,
            _ => Condition::Equals(take_text(bytes)?),
        };
        Ok(Self { key, value, condition, return_previous: flags & FLAG_RETURN_PREVIOUS != 0 })
    }

    fn length(&self) -> usize {
        let expected = match &self.condition {
            Condition::Always | Condition::Absent | Condition::Present => 0,
            Condition::Equals(expected) => text_length(expected),
        };
        1 + text_length(&self.key) + text_length(&self.value) + expected
    }
}

const LENGTH_BYTES: usize = size_of::<u32>();

fn text_length(text: &Bytes) -> usize {
    LENGTH_BYTES + text.len()
}

fn put_text(text: &Bytes, out: &mut Vec<u8>) {
    out.put_u32_le(length_u32(text.len()));
    out.put_slice(text);
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("a request is bounded far below 4 GiB")
}

fn take_text(bytes: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = bytes.try_get_u32_le().map_err(|_| DecodeError::Length)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Length)?;
    if length > bytes.len() {
        return Err(DecodeError::Length);
    }
    Ok(bytes.split_to(length))
}

fn take_keys(bytes: &mut Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let count = bytes.try_get_u32_le().map_err(|_| DecodeError::Length)?;
    // Collected one by one: a count that lies runs out of bytes before it costs memory.
    (0..count).map(|_| take_text(bytes)).collect()
}

#[cfg(test)]
mod tests;
