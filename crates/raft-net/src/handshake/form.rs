//! Handshake frames as bytes.
//!
//! What a later version appends to these heads is skipped, unlike in other frames: they are read
//! before a version is agreed on.

use raft_core::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Features, Hello, HelloAck, Run, VersionRange};
use crate::frame::{Cursor, Frame, FrameError, FrameKind};
use crate::limits::FrameLimits;

/// Head of a [`Hello`].
#[derive(Deserialize, Serialize)]
pub(crate) struct HelloForm {
    from: NodeId,
    to: NodeId,
    run: Run,
    genesis: Option<u64>,
    versions: VersionRange,
    features: Features,
    append_payload_max: u32,
}

/// Head of a [`HelloAck`].
#[derive(Deserialize, Serialize)]
pub(crate) struct AckForm {
    from: NodeId,
    to: NodeId,
    run: Run,
    genesis: Option<u64>,
    version: u16,
    features: Features,
    append_payload_max: u32,
}

impl Hello {
    pub(crate) const fn to_form(self) -> HelloForm {
        HelloForm {
            from: self.from,
            to: self.to,
            run: self.run,
            genesis: self.genesis,
            versions: self.versions,
            features: self.features,
            append_payload_max: self.limits.append_payload_max(),
        }
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let form: HelloForm = handshake_head(frame, FrameKind::Hello)?;
        Ok(Self {
            from: form.from,
            to: form.to,
            cluster: frame.prelude().cluster,
            run: form.run,
            genesis: form.genesis,
            versions: form.versions,
            features: form.features,
            limits: FrameLimits::new(form.append_payload_max),
        })
    }
}

impl HelloAck {
    pub(crate) const fn to_form(self) -> AckForm {
        AckForm {
            from: self.from,
            to: self.to,
            run: self.run,
            genesis: self.genesis,
            version: self.version,
            features: self.features,
            append_payload_max: self.limits.append_payload_max(),
        }
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let form: AckForm = handshake_head(frame, FrameKind::HelloAck)?;
        Ok(Self {
            from: form.from,
            to: form.to,
            cluster: frame.prelude().cluster,
            run: form.run,
            genesis: form.genesis,
            version: form.version,
            features: form.features,
            limits: FrameLimits::new(form.append_payload_max),
        })
    }
}

fn handshake_head<T: DeserializeOwned>(frame: &Frame, kind: FrameKind) -> Result<T, FrameError> {
    if frame.prelude().kind != kind {
        return Err(FrameError::Unexpected { kind: frame.prelude().kind });
    }
    Cursor::new(kind, frame.head()).take()
}
