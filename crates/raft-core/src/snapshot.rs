//! What a snapshot is, without its bytes.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::membership::Membership;
use crate::types::{DecodeError, LogId, LogIndex};

const VERSION: u8 = 1;

/// What a snapshot of a state machine contains: its place in the log, and the membership there
/// (paper §7).
///
/// Equal values name equal states: everything up to `last` is committed, and a state machine is
/// deterministic. So a transfer that one server began may be finished by another.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SnapshotMeta {
    /// The last entry that the snapshot contains.
    pub last: LogId,
    /// The entry of the membership in force at `last`: it, or one before it.
    pub membership_id: LogId,
    /// The membership in force at `last`, both halves if it is a joint one.
    pub membership: Membership,
}

impl SnapshotMeta {
    /// The value as bytes, the same on disk and wire: the version, `last` and `membership_id` in
    /// postcard, then [`Membership::encode`]'s bytes.
    ///
    /// # Panics
    ///
    /// Never: numbers always have an encoding.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let ids = (self.last, self.membership_id);
        let mut encoded = postcard::to_extend(&ids, Vec::from([VERSION]))
            .expect("numbers always have an encoding");
        encoded.extend_from_slice(&self.membership.encode());
        Bytes::from(encoded)
    }

    /// Reads what [`SnapshotMeta::encode`] wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are of a later version, or do not describe a snapshot that could exist.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const MALFORMED: DecodeError = DecodeError::Malformed { what: "snapshot" };
        let (&version, body) = bytes.split_first().ok_or(MALFORMED)?;
        if version != VERSION {
            return Err(DecodeError::FutureVersion { what: "snapshot", version });
        }
        let (ids, rest) =
            postcard::take_from_bytes::<(LogId, LogId)>(body).map_err(|_| MALFORMED)?;
        let (last, membership_id) = ids;
        let meta = Self { last, membership_id, membership: Membership::decode(rest)? };
        if meta.is_possible() { Ok(meta) } else { Err(MALFORMED) }
    }

    /// Whether the ids could stand in one log, and the log could grow that long.
    pub(crate) fn is_possible(&self) -> bool {
        /// Nobody could have proposed that many.
        const IMPOSSIBLE_INDEX: LogIndex = LogIndex::new(1 << 62);
        let Self { last, membership_id, .. } = self;
        let ordered = membership_id.index <= last.index && membership_id.term <= last.term;
        let same_place = membership_id.index != last.index || membership_id == last;
        let exists = membership_id.index > LogIndex::ZERO && last.index < IMPOSSIBLE_INDEX;
        exists && ordered && same_place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{NodeId, Term};

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn meta(last: LogId, membership_id: LogId) -> SnapshotMeta {
        let one = NodeId::new(1).unwrap();
        let membership = Membership::of_voters([(one, "a:1")]).unwrap();
        SnapshotMeta { last, membership_id, membership }
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(
            index in 1u64..1 << 62, term: u64, earlier: u64, before: u64,
        ) {
            let membership_id = id(1 + earlier % index, before.min(term));
            let last = if membership_id.index.get() == index {
                membership_id
            } else {
                id(index, term)
            };
            let meta = meta(last, membership_id);

            prop_assert_eq!(SnapshotMeta::decode(&meta.encode()), Ok(meta));
        }

        #[test]
        fn any_bytes_decode_to_a_snapshot_that_encodes_back_or_to_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(meta) = SnapshotMeta::decode(&bytes) {
                prop_assert_eq!(SnapshotMeta::decode(&meta.encode()), Ok(meta));
            }
        }
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        assert_eq!(
            SnapshotMeta::decode(&[2, 0]),
            Err(DecodeError::FutureVersion { what: "snapshot", version: 2 })
        );
    }

    #[test]
    fn a_membership_after_the_snapshots_end_is_refused() {
        let impossible = [(id(3, 1), id(4, 1)), (id(4, 1), id(3, 2)), (id(3, 2), id(3, 1))];
        for (last, membership_id) in impossible {
            let bytes = meta(last, membership_id).encode();
            let refused = Err(DecodeError::Malformed { what: "snapshot" });
            assert_eq!(SnapshotMeta::decode(&bytes), refused);
        }
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let golden: &[u8] = b"\x01\x03\xac\x02\x01\x01\x01\x01\x01\x01\x03a:1\x01";
        assert_eq!(meta(id(300, 3), id(1, 1)).encode(), golden);
    }
}
