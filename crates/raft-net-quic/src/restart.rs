//! What lets peers notice a restart at once.
//!
//! A node that was killed has told nobody. When it runs again at its old port, packets of
//! connections that it does not know arrive; it answers them with a stateless reset (RFC 9000
//! §10.3), which the peer believes if it carries a token that only the node can make. Therefore
//! the key behind these tokens is the same in every run.

use std::sync::Arc;

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use ring::{digest, hmac};

use crate::config::{QuicConfig, Security};
use crate::tuning::MTU_RECEIVED_MAX;

/// Settings of the endpoint.
pub(crate) fn endpoint_config(config: &QuicConfig) -> EndpointConfig {
    let token_key = derive(config, b"stateless reset");
    let id_key = u64::from_le_bytes(first_chunk(&derive(config, b"connection id")));
    let token_key = hmac::Key::new(hmac::HMAC_SHA256, token_key.as_ref());
    let mut endpoint = EndpointConfig::new(Arc::new(token_key));
    endpoint
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)))
        .max_udp_payload_size(MTU_RECEIVED_MAX)
        .expect("it is more than the least allowed");
    endpoint
}

/// Derives a key from what only this node knows. Without certificates there is no such thing, and
/// anyone can end connections.
fn derive(config: &QuicConfig, purpose: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"raft-net-quic 1 ");
    context.update(purpose);
    context.update(&config.node.get().to_le_bytes());
    context.update(config.cluster.as_bytes());
    if let Security::MutualTls(identity) = &config.security {
        context.update(identity.secret());
    }
    context.finish()
}

fn first_chunk(digest: &digest::Digest) -> [u8; 8] {
    *digest.as_ref().first_chunk().expect("SHA-256 has more than eight bytes")
}
