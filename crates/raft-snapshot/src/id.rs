//! What a snapshot is called.

use std::fmt;
use std::str::FromStr;

use raft_core::{LogId, LogIndex, Term};

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
        write!(f, "{:020}-{:020}-{:08x}", index.get(), term.get(), self.digest)
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
        parse(text).filter(|id| id.to_string() == text).ok_or(ParseSnapshotIdError)
    }
}

fn parse(text: &str) -> Option<SnapshotId> {
    let mut parts = text.split('-');
    let index = parts.next()?.parse().ok()?;
    let term = parts.next()?.parse().ok()?;
    let digest = u32::from_str_radix(parts.next()?, 16).ok()?;
    Some(SnapshotId { last: LogId::new(Term::new(term), LogIndex::new(index)), digest })
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
        for wrong in ["", "123-7-ab", "00000000000000000123-00000000000000000007-000000AB", "a-b-c"]
        {
            assert_eq!(wrong.parse::<SnapshotId>(), Err(ParseSnapshotIdError), "{wrong}");
        }
    }
}
