//! Values that stand in frames and files alike.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use raft_core::{GroupId, Membership, Quorum, SnapshotMeta, Voters};
use raft_snapshot::{Manifest, Owner, Sizes};

use crate::names::{CLUSTER, log_id, node, three};

pub(crate) fn membership(bytes: &[u8]) {
    if let Ok(membership) = Membership::decode(bytes) {
        assert_eq!(Membership::decode(&membership.encode()), Ok(membership));
    }
}

pub(crate) fn memberships() -> Vec<Vec<u8>> {
    let of = |ids: [u64; 2]| Voters::new(ids.map(node)).expect("there are some");
    let quorum = Quorum::Joint { incoming: of([1, 2]), outgoing: of([2, 3]) };
    let addresses = BTreeMap::from([(node(5), "host-5:7000".into())]);
    let joint = Membership::new(quorum, BTreeSet::from([node(5)]), addresses);
    [three(), joint.expect("its members are known")]
        .map(|membership| membership.encode().to_vec())
        .into()
}

pub(crate) fn snapshot_meta(bytes: &[u8]) {
    if let Ok(meta) = SnapshotMeta::decode(bytes) {
        assert_eq!(SnapshotMeta::decode(&meta.encode()), Ok(meta));
    }
}

fn meta() -> SnapshotMeta {
    SnapshotMeta { last: log_id(9, 4), membership_id: log_id(1, 1), membership: three() }
}

pub(crate) fn snapshot_metas() -> Vec<Vec<u8>> {
    vec![meta().encode().to_vec()]
}

/// As they are, and with the checksum that belongs to them: few bytes have it by chance.
pub(crate) fn manifest(bytes: &[u8]) {
    let crc = crc32fast::hash(bytes).to_le_bytes();
    for encoded in [bytes.to_vec(), [bytes, &crc].concat()] {
        let encoded = Bytes::from(encoded);
        if let Ok(manifest) = Manifest::decode(encoded.clone()) {
            check(&manifest);
            assert_eq!(manifest.encoded(), &encoded);
        }
    }
}

/// The chunks of a manifest are all of the data, in order.
fn check(manifest: &Manifest) {
    let mut end = 0;
    for number in [0, 1, manifest.chunks().saturating_sub(1), manifest.chunks(), u32::MAX] {
        let Some((offset, len)) = manifest.chunk_range(number) else {
            assert!(number >= manifest.chunks(), "chunk {number} is missing");
            continue;
        };
        assert!(number < manifest.chunks() && len <= manifest.sizes().chunk);
        end = offset + u64::from(len);
        let wrong = Bytes::from(vec![0; 3]);
        assert!(len == 3 || manifest.verify(number, wrong).is_err(), "another length is no chunk");
    }
    assert!(end <= manifest.sizes().data, "chunks end after the data");
}

pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let owner = Owner { cluster: CLUSTER, group: GroupId::FIRST };
    let with = |data, crcs: &[u32]| {
        let sizes = Sizes { data, sessions: 0, chunk: 700 };
        let manifest = Manifest::new(owner, meta(), sizes, 1, crcs).expect("it fits together");
        let encoded = manifest.encoded();
        // Its checksum is computed anew.
        encoded.slice(..encoded.len() - 4).to_vec()
    };
    vec![with(0, &[]), with(1500, &[1, 2, 3])]
}
