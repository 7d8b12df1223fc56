//! How things are put into words.

use raft_core::{LogId, LogIndex, Membership, NodeId, Term};
use raft_wal::inspect::{Cost, Damage};
use raft_wal::{Faulty, Tail};
use time::OffsetDateTime;

/// Milliseconds since 1970 as a date and a time, UTC.
pub(crate) fn date(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return unix_ms.to_string() };
    let month = u8::from(at.month());
    let (year, day) = (at.year(), at.day());
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text += &format!("{byte:02x}");
        text
    })
}

pub(crate) fn id(id: LogId) -> String {
    format!("entry {} of term {}", id.index, id.term)
}

/// A count of something, `s` behind it unless it is one.
pub(crate) fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

pub(crate) fn range(first: LogIndex, last: LogIndex) -> String {
    if first == last { format!("entry {first}") } else { format!("entries {first} to {last}") }
}

pub(crate) fn members(membership: &Membership) -> String {
    let named = |ids: Vec<NodeId>| {
        let with_address = |id: NodeId| match membership.address(id) {
            Some(address) if !address.is_empty() => format!("{id} ({address})"),
            Some(_) | None => id.to_string(),
        };
        ids.into_iter().map(with_address).collect::<Vec<_>>().join(", ")
    };
    let quorum = membership.quorum();
    let mut text = format!("voters {}", named(quorum.incoming().iter().collect()));
    if let Some(outgoing) = quorum.outgoing() {
        text += &format!("; and until that is settled {}", named(outgoing.iter().collect()));
    }
    let learners: Vec<_> = membership.learners().collect();
    if !learners.is_empty() {
        text += &format!("; learners {}", named(learners));
    }
    text
}

pub(crate) fn faulty(faulty: &Faulty) -> String {
    let term = |term: Term| format!(" of term {term}");
    let entries = match faulty.last {
        Some(last) => range(faulty.first, last),
        None => format!("an unknown number of entries from {} on", faulty.first),
    };
    entries + &faulty.term.map(term).unwrap_or_default()
}

/// A sentence on bytes that are not what was written.
pub(crate) fn damage(damage: &Damage) -> String {
    let Damage { corruption, cost } = damage;
    let raft_wal::Corruption { path, offset, what, .. } = corruption;
    let mut text = format!("{} is damaged at byte {offset}: {what}", path.display());
    for (_, entry) in &corruption.entries {
        text += &format!("; it is {}", id(*entry));
    }
    match (corruption.batches, cost) {
        (Some((first, last)), Cost::Data) if first == last => {
            text += &format!("; batch {first} is lost here");
        }
        (Some((first, last)), Cost::Data) => {
            text += &format!("; batches {first} to {last} are lost here");
        }
        (_, Cost::Derived) => text += "; it is built again when the node starts",
        (_, Cost::Nothing) => text += "; nothing is lost",
        (None, Cost::Data) => {}
    }
    text
}

/// How a log ends, with what an open would do about it.
pub(crate) fn end(tail: Tail) -> String {
    match tail {
        Tail::Clean => "clean: nothing was being written".to_owned(),
        Tail::Torn(at) => format!(
            "in a write that was interrupted, {} behind byte {} of segment {}: nobody was told that it \
             is durable, and it is cut off when the node starts",
            count(at.bytes, "byte"),
            at.offset,
            at.segment
        ),
        Tail::Ambiguous(at) if at.bytes == 0 => format!(
            "at byte {} of segment {}; nothing says that nothing was behind it, which is usual while a \
             node runs and after it was killed",
            at.offset, at.segment
        ),
        Tail::Ambiguous(at) => format!(
            "in a write that was interrupted, or else damaged since, {} behind byte {} of segment {}: \
             it is cut off when the node starts",
            count(at.bytes, "byte"),
            at.offset,
            at.segment
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_709_210_096_789), "2024-02-29T12:34:56Z");
    }

    #[test]
    fn counts_are_told_in_words() {
        assert_eq!(
            (count(1, "byte"), count(2, "byte")),
            ("1 byte".to_owned(), "2 bytes".to_owned())
        );
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
