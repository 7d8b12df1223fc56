//! A membership as bytes, the same on disk and wire.
//!
//! ```text
//! version = 1, then in postcard: [ (id, address, part) ... ], in ascending order of id
//! part: bit 0 voter (incoming), bit 1 voter of the outgoing set, bit 2 learner,
//!       bit 3 (with bit 2) learner that becomes a voter when it has caught up;
//!       all others are reserved (a later kind of member, such as a witness) and must be 0
//! ```

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Membership, Quorum, Voters};
use crate::types::{DecodeError, NodeId};

const VERSION: u8 = 1;
const INCOMING: u8 = 1;
const OUTGOING: u8 = 2;
const LEARNER: u8 = 4;
const PROMOTION: u8 = 8;

#[derive(Deserialize, Serialize)]
struct MemberRecord {
    id: NodeId,
    address: Option<String>,
    part: u8,
}

impl Membership {
    /// The membership as bytes, as it stands in a log entry.
    ///
    /// # Panics
    ///
    /// Never: numbers and texts always have an encoding.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let records: Vec<_> = self
            .members()
            .map(|id| MemberRecord {
                id,
                address: self.address(id).map(Into::into),
                part: self.part(id),
            })
            .collect();
        let encoded = postcard::to_extend(&records, Vec::from([VERSION]))
            .expect("numbers and texts always have an encoding");
        Bytes::from(encoded)
    }

    /// Reads what [`Membership::encode`] wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are of a later version, or no membership.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const MALFORMED: DecodeError = DecodeError::Malformed { what: "membership" };
        let (&version, body) = bytes.split_first().ok_or(MALFORMED)?;
        if version != VERSION {
            return Err(DecodeError::FutureVersion { what: "membership", version });
        }
        let (records, rest) =
            postcard::take_from_bytes::<Vec<MemberRecord>>(body).map_err(|_| MALFORMED)?;
        let ascending = records.is_sorted_by(|a, b| a.id < b.id);
        let known = |r: &MemberRecord| {
            r.part != 0 && r.part & !(INCOMING | OUTGOING | LEARNER | PROMOTION) == 0
        };
        if !rest.is_empty() || !ascending || !records.iter().all(known) {
            return Err(MALFORMED);
        }
        from_records(records).ok_or(MALFORMED)
    }

    fn part(&self, id: NodeId) -> u8 {
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        bit(self.quorum().incoming().contains(id), INCOMING)
            | bit(self.quorum().outgoing().is_some_and(|voters| voters.contains(id)), OUTGOING)
            | bit(self.is_learner(id), LEARNER)
            | bit(self.promotions().any(|promoted| promoted == id), PROMOTION)
    }
}

fn from_records(records: Vec<MemberRecord>) -> Option<Membership> {
    let with = |bit| records.iter().filter(move |r| r.part & bit != 0).map(|r| r.id);
    let incoming = Voters::new(with(INCOMING))?;
    let quorum = match Voters::new(with(OUTGOING)) {
        None => Quorum::Majority(incoming),
        Some(outgoing) => Quorum::Joint { incoming, outgoing },
    };
    let learners: BTreeSet<_> = with(LEARNER).collect();
    let promotions: BTreeSet<_> = with(PROMOTION).collect();
    if !promotions.is_subset(&learners) {
        return None;
    }
    let addresses: BTreeMap<_, _> =
        records.into_iter().filter_map(|r| Some((r.id, r.address?))).collect();
    Membership::check(&quorum, &learners, &addresses).ok()?;
    Some(Membership::of(quorum, learners, promotions, addresses))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memberships() -> impl Strategy<Value = Membership> {
        let member = (1u64..50, prop::option::of("[a-z0-9.:]{0,12}"), 1u8..16);
        prop::collection::vec(member, 1..9).prop_filter_map("valid", |mut members| {
            members.sort_by_key(|m| m.0);
            members.dedup_by_key(|m| m.0);
            let records = members.into_iter().filter_map(|(id, address, part)| {
                Some(MemberRecord { id: NodeId::new(id)?, address, part })
            });
            from_records(records.collect())
        })
    }

    proptest! {
        #[test]
        fn decoding_inverts_encoding(membership in memberships()) {
            prop_assert_eq!(Membership::decode(&membership.encode()), Ok(membership));
        }

        #[test]
        fn any_bytes_decode_to_a_membership_that_encodes_back_or_to_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(membership) = Membership::decode(&bytes) {
                let again = Membership::decode(&membership.encode());
                prop_assert_eq!(again, Ok(membership));
            }
        }
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        assert_eq!(
            Membership::decode(&[2, 0]),
            Err(DecodeError::FutureVersion { what: "membership", version: 2 })
        );
    }

    /// A witness is to be bit 4: whoever does not know what it is must not take it for a voter.
    #[test]
    fn a_kind_of_member_that_is_not_known_is_refused() {
        for part in [16, 16 | INCOMING, 32, 64, 128] {
            let unknown = [1, 1, 2, 0, part];
            let refused = Membership::decode(&unknown);
            assert_eq!(refused, Err(DecodeError::Malformed { what: "membership" }));
        }
        assert!(Membership::decode(&[1, 1, 2, 0, INCOMING]).is_ok());
    }

    #[test]
    fn only_learners_are_promoted() {
        let refused = Membership::decode(&[1, 1, 2, 0, INCOMING | PROMOTION]);
        assert_eq!(refused, Err(DecodeError::Malformed { what: "membership" }));
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let id = |id| NodeId::new(id).unwrap();
        let membership = Membership::of_voters([(id(1), "a:1"), (id(300), "b:2")]).unwrap();

        let golden: &[u8] = b"\x01\x02\x01\x01\x03a:1\x01\xac\x02\x01\x03b:2\x01";
        assert_eq!(membership.encode(), golden);
    }
}
