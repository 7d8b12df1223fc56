//! What the end of a log means.

/// What was found at and behind the first place where no batch is intact.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Signs {
    /// The batch that should be there.
    pub(super) expected_seq: u64,
    /// The newest batch that an authentic header found behind says was durable.
    pub(super) durable_seq: u64,
    /// Bytes up to the last one that is not zero.
    pub(super) bytes: u64,
    /// Whether the last batch is a marker that says that all before it is durable.
    pub(super) is_marked: bool,
    /// Whether a sector is all zeros that the missing batch would have made otherwise, while
    /// other bytes of the same write are there.
    pub(super) has_hole: bool,
}

/// What it means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing was being written.
    Clean,
    /// The missing batch was never durable.
    Torn,
    /// It cannot be told whether the missing batch was durable.
    Ambiguous,
    /// The missing batch was durable.
    Corrupt,
}

/// The decision table; see `docs/wal-format.md`, "The end of the log".
pub(super) const fn decide(signs: Signs) -> Verdict {
    if signs.durable_seq >= signs.expected_seq {
        // A later batch was written by a process that knew this one to be durable.
        Verdict::Corrupt
    } else if signs.bytes == 0 && signs.is_marked {
        Verdict::Clean
    } else if signs.bytes == 0 {
        Verdict::Ambiguous
    } else if signs.has_hole {
        // A medium damages what it holds, but does not return zeros for what it has written. So
        // this sector was not written, the sync did not return, and nothing was acknowledged.
        Verdict::Torn
    } else {
        Verdict::Ambiguous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: Signs =
        Signs { expected_seq: 7, durable_seq: 6, bytes: 100, is_marked: false, has_hole: false };

    #[test]
    fn a_batch_that_a_later_one_calls_durable_was_durable() {
        assert_eq!(decide(Signs { durable_seq: 7, ..SIGNS }), Verdict::Corrupt);
        assert_eq!(decide(Signs { durable_seq: 9, has_hole: true, ..SIGNS }), Verdict::Corrupt);
    }

    #[test]
    fn nothing_behind_a_marker_is_a_clean_end() {
        assert_eq!(decide(Signs { bytes: 0, is_marked: true, ..SIGNS }), Verdict::Clean);
        assert_eq!(decide(Signs { bytes: 0, ..SIGNS }), Verdict::Ambiguous);
    }

    #[test]
    fn a_write_with_a_hole_was_not_finished() {
        assert_eq!(decide(Signs { has_hole: true, ..SIGNS }), Verdict::Torn);
        assert_eq!(decide(SIGNS), Verdict::Ambiguous);
    }
}
