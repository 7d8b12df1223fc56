//! What a snapshot is called.

use std::fmt;
use std::str::FromStr;

use raft_core::{LogId, LogIndex, Term};

use crate::num::narrow;

/// Names a snapshot by its content: on two nodes, equal ids mean that either can continue what the
/// other began to send.
///
/// The digest is short because nothing rests on it alone: whoever receives a snapshot holds its
/// manifest, and checks every chunk against that.
///
/// The derived order is that of the log: of two snapshots of a group, the later is the greater.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SnapshotId {
    /// The last entry that the snapshot covers.
    pub last: LogId,
    /// Checksum of the manifest, and so of all that is in it.
    pub digest: u32,
}

impl fmt::Display for SnapshotId {
    /// Index, term and digest, such that names sort as the snapshots do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogId { term, index } = self.last;
        let mut text = [b'-'; 50];
        put(&mut text[..20], index.get(), 10);
        put(&mut text[21..41], term.get(), 10);
        put(&mut text[42..], self.digest.into(), 16);
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Fills `to` with the last digits of a number.
fn put(to: &mut [u8], mut number: u64, radix: u64) {
    for place in to.iter_mut().rev() {
        let digit = b"0123456789abcdef".get(narrow(number % radix));
        *place = digit.copied().unwrap_or_default();
        number /= radix;
    }
}

/// The text is not the name of a snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a snapshot is called INDEX-TERM-DIGEST, with 20, 20 and 8 digits")]
pub struct ParseSnapshotIdError;

impl FromStr for SnapshotId {
    type Err = ParseSnapshotIdError;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, ParseSnapshotIdError> {
        parse(text).ok_or(ParseSnapshotIdError)
    }
}

fn parse(text: &str) -> Option<SnapshotId> {
    let mut parts = text.split('-');
    let index = digits(parts.next()?, 20, 10)?;
    let term = digits(parts.next()?, 20, 10)?;
    let digest = u32::try_from(digits(parts.next()?, 8, 16)?).ok()?;
    let is_all = parts.next().is_none();
    let last = LogId::new(Term::new(term), LogIndex::new(index));
    is_all.then_some(SnapshotId { last, digest })
}

/// A number of exactly so many digits, none of them a capital.
fn digits(text: &str, count: usize, radix: u32) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let is_whole = text.len() == count && text.bytes().all(is_digit);
    is_whole.then(|| u64::from_str_radix(text, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_nothing_else_is() {
        let last = LogId::new(Term::new(7), LogIndex::new(123));
        let id = SnapshotId { last, digest: 0xab };

        assert_eq!(id.to_string(), "00000000000000000123-00000000000000000007-000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        let wrongs = [
            "",
            "123-7-ab",
            "a-b-c",
            "00000000000000000123-00000000000000000007-000000AB",
            "0000000000000000012a-00000000000000000007-000000ab",
            "+0000000000000000123-00000000000000000007-000000ab",
            "99999999999999999999-00000000000000000007-000000ab",
            "00000000000000000123-00000000000000000007-000000ab-",
            "00000000000000000123-00000000000000000007-0000000ab",
        ];
        for wrong in wrongs {
            assert_eq!(wrong.parse::<SnapshotId>(), Err(ParseSnapshotIdError), "{wrong}");
        }
    }
}
