//! Commands of operators: who belongs to the cluster, and who leads it.

use bytes::Bytes;
use raft::NodeId;

use crate::backend::{Backend, Change, Member, Refusal};
use crate::request::{RequestError, arity};
use crate::resp::Reply;
use crate::store::integer;

/// A request about the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Admin {
    /// `RAFT.MEMBERS`
    Members,
    /// `RAFT.ADD id host:port [LEARNER]`, `RAFT.PROMOTE id`, `RAFT.REMOVE id`
    Change(Change),
    /// `RAFT.TRANSFER [id]`
    Transfer(Option<NodeId>),
}

impl Admin {
    /// Reads a request from its name, in capitals, and what follows; `None` for any other name.
    pub(crate) fn from_words(
        name: &[u8],
        arguments: &[Bytes],
    ) -> Option<Result<Self, RequestError>> {
        Some(match (name, arguments) {
            (b"RAFT.MEMBERS", []) => Ok(Self::Members),
            (b"RAFT.ADD", [id, address, options @ ..]) => add(id, address, options),
            (b"RAFT.PROMOTE", [id]) => node_id(id).map(|id| Self::Change(Change::Promote(id))),
            (b"RAFT.REMOVE", [id]) => node_id(id).map(|id| Self::Change(Change::Remove(id))),
            (b"RAFT.TRANSFER", []) => Ok(Self::Transfer(None)),
            (b"RAFT.TRANSFER", [id]) => node_id(id).map(|id| Self::Transfer(Some(id))),
            (
                b"RAFT.MEMBERS" | b"RAFT.ADD" | b"RAFT.PROMOTE" | b"RAFT.REMOVE" | b"RAFT.TRANSFER",
                _,
            ) => Err(arity(name)),
            _ => return None,
        })
    }

    pub(super) async fn answer(self, backend: &impl Backend) -> Reply {
        match self {
            Self::Members => {
                Reply::Array(backend.status().members.into_iter().map(shown).collect())
            }
            Self::Change(change) => done(backend.change(change).await),
            Self::Transfer(to) => done(backend.transfer(to).await),
        }
    }
}

fn add(id: &[u8], address: &[u8], options: &[Bytes]) -> Result<Admin, RequestError> {
    let (id, address) = (node_id(id)?, checked_address(address)?);
    match options {
        [] => Ok(Admin::Change(Change::AddVoter(id, address))),
        [option] if option.eq_ignore_ascii_case(b"LEARNER") => {
            Ok(Admin::Change(Change::AddLearner(id, address)))
        }
        _ => Err(RequestError::Syntax),
    }
}

fn node_id(text: &[u8]) -> Result<NodeId, RequestError> {
    let id = integer(text).and_then(|id| u64::try_from(id).ok()).and_then(NodeId::new);
    id.ok_or(RequestError::NotANode)
}

fn checked_address(text: &[u8]) -> Result<String, RequestError> {
    /// Of a name in the domain name system, and a port.
    const BYTES_MAX: usize = 261;
    let text = str::from_utf8(text).ok().filter(|text| text.len() <= BYTES_MAX);
    let is_address = |text: &&str| {
        let parts = text.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    text.filter(is_address).map(str::to_owned).ok_or(RequestError::NotAnAddress)
}

fn shown(member: Member) -> Reply {
    let Member { id, address, voter } = member;
    let part = if voter { "voter" } else { "learner" };
    Reply::Bulk(Bytes::from(format!("{id} {address} {part}")))
}

fn done(outcome: Result<(), Refusal>) -> Reply {
    match outcome {
        Ok(()) => Reply::OK,
        Err(refusal) => Reply::Error(refusal.to_string()),
    }
}
