//! `--cluster 1=HOST:PORT,2=HOST:PORT,…`

use std::collections::BTreeMap;
use std::str::FromStr;

use raft::{ClusterId, NodeId};

/// The members of a cluster and where they reach each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Members(BTreeMap<NodeId, String>);

/// Why a text is no list of members.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum MembersError {
    #[error("expected ID=HOST:PORT, got '{0}'")]
    Form(String),
    #[error("a node id is a whole number above zero, got '{0}'")]
    Id(String),
    #[error("node {0} is listed twice")]
    IdTwice(NodeId),
    #[error("two nodes have the address {0}")]
    AddressTwice(String),
}

impl Members {
    pub(super) fn contains(&self, id: NodeId) -> bool {
        self.0.contains_key(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.0.iter().map(|(id, address)| (*id, address.as_str()))
    }

    /// An id for a cluster without certificates: the same list, in whatever order, has the same
    /// id, so that nodes started with different lists do not talk to each other.
    pub(super) fn cluster_id(&self) -> ClusterId {
        let list: Vec<_> = self.iter().map(|(id, address)| format!("{id}={address}")).collect();
        hashed(&format!("raft-kv cluster {}", list.join(",")))
    }
}

/// The id of every cluster of one: its only node talks to nobody, and whose directory is whose is
/// told by the id of the node.
pub(super) fn cluster_of_one() -> ClusterId {
    hashed("raft-kv cluster of one")
}

/// FNV-1a with 128 bits: tells lists apart that differ by accident. Who wants to be safe from
/// intent uses certificates, which carry an id drawn at random.
fn hashed(text: &str) -> ClusterId {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash =
        text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    ClusterId::new(hash.to_be_bytes())
}

impl FromStr for Members {
    type Err = MembersError;

    fn from_str(text: &str) -> Result<Self, MembersError> {
        let mut members = BTreeMap::new();
        for member in text.split(',') {
            let (id, address) = parse_member(member)?;
            if members.values().any(|known| *known == address) {
                return Err(MembersError::AddressTwice(address));
            }
            if members.insert(id, address).is_some() {
                return Err(MembersError::IdTwice(id));
            }
        }
        Ok(Self(members))
    }
}

fn parse_member(member: &str) -> Result<(NodeId, String), MembersError> {
    let form = || MembersError::Form(member.to_owned());
    let (id, address) = member.trim().split_once('=').ok_or_else(form)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(form());
    }
    let id = id.parse().map_err(|_| MembersError::Id(id.to_owned()))?;
    Ok((id, address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Members, MembersError> {
        text.parse()
    }

    fn id(id: u64) -> NodeId {
        NodeId::new(id).expect("not zero")
    }

    #[test]
    fn members_are_ids_with_addresses() {
        let members = members("2=two:7002, 1=[::1]:7001").expect("a list");

        assert!(members.contains(id(1)) && !members.contains(id(3)));
        assert_eq!(
            members.iter().collect::<Vec<_>>(),
            [(id(1), "[::1]:7001"), (id(2), "two:7002")]
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(members(""), Err(MembersError::Form(String::new())));
        assert_eq!(members("1=a"), Err(MembersError::Form("1=a".to_owned())));
        assert_eq!(members("1=a:x"), Err(MembersError::Form("1=a:x".to_owned())));
        assert_eq!(members("1=:7001"), Err(MembersError::Form("1=:7001".to_owned())));
        assert_eq!(members("0=a:1"), Err(MembersError::Id("0".to_owned())));
        assert_eq!(members("1=a:1,1=b:1"), Err(MembersError::IdTwice(id(1))));
        assert_eq!(members("1=a:1,2=a:1"), Err(MembersError::AddressTwice("a:1".to_owned())));
    }

    #[test]
    fn cluster_id_is_that_of_the_list_in_any_order() {
        let id_of = |text| members(text).expect("a list").cluster_id();

        assert_eq!(id_of("1=a:1,2=b:2"), id_of("2=b:2,1=a:1"));
        assert_ne!(id_of("1=a:1,2=b:2"), id_of("1=a:1,2=b:3"));
    }

    #[test]
    fn cluster_ids_are_those_in_existing_directories() {
        let listed = members("1=a:1").expect("a list").cluster_id();

        assert_eq!(listed.to_string(), "a6c5e74cbf7e5b86cfbd4eb792227436");
        assert_eq!(cluster_of_one().to_string(), "bb44bec4b57a9ee19e64f9f611629977");
    }
}
