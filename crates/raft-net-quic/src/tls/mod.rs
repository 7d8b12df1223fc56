//! Who a node is, and how it proves that: certificates bound to node and cluster id.

mod ca;
mod config;
mod error;
mod identity;
mod insecure;
mod names;

pub use self::ca::{CaError, ClusterCa, NodeCertificate};
pub(crate) use self::config::TlsConfigs;
pub use self::error::TlsError;
pub use self::identity::TlsIdentity;
pub(crate) use self::names::{identity_of, server_name};
