//! A manifest as bytes.

use bytes::Bytes;
use raft_core::{ClusterId, DecodeError, GroupId, SnapshotMeta};

use super::{CHUNK_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest, Owner, Sizes};
use crate::num::{narrow, wide};

const MAGIC: [u8; 8] = *b"\x89RSNP\x0d\x0a\x1a";
const MAJOR: u16 = 1;

/// What tells the length: magic to length.
pub(crate) const PREFIX_LEN: usize = 24;
const HEAD_LEN: usize = 80;
const CRC_LEN: usize = 4;

/// Why bytes are not a manifest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Something else, or cut off.
    #[error("{0}")]
    Malformed(&'static str),
    /// Its checksum differs.
    #[error("the checksum of the manifest differs")]
    Checksum,
    /// A later version wrote it.
    #[error("version {version} of the manifest is newer than this program; upgrade it")]
    FutureVersion {
        /// The version that was found.
        version: u16,
    },
    /// A later version wrote it, and says that this one must not read it.
    #[error("the manifest has flags {flags:#x}, which this program does not know; upgrade it")]
    FutureFlags {
        /// All flags.
        flags: u32,
    },
    /// What it covers is told in a way that this version does not know, or that says nothing.
    #[error(transparent)]
    Meta(#[from] DecodeError),
    /// More chunks than a manifest can hold.
    #[error("{chunks} chunks do not fit into a manifest; make the chunks longer")]
    TooManyChunks {
        /// How many there are.
        chunks: u64,
    },
}

impl Manifest {
    /// Puts a manifest together. `chunk_crcs` are those of the chunks in order.
    ///
    /// # Errors
    ///
    /// If the parts do not fit together, or there are too many of them.
    pub fn new(
        owner: Owner,
        meta: SnapshotMeta,
        sizes: Sizes,
        data_crc: u32,
        chunk_crcs: &[u32],
    ) -> Result<Self, ManifestError> {
        let meta = meta.encode();
        let len = HEAD_LEN + meta.len() + chunk_crcs.len() * 4 + CRC_LEN;
        let too_many = ManifestError::TooManyChunks { chunks: sizes.chunks() };
        let len = u32::try_from(len).ok().filter(|len| *len <= MANIFEST_BYTES_MAX);
        let len = len.ok_or(too_many)?;
        let mut out = Vec::with_capacity(narrow(u64::from(len)));
        out.extend(MAGIC);
        out.extend(MAJOR.to_le_bytes());
        out.extend([0; 10]);
        out.extend(len.to_le_bytes());
        out.extend(owner.cluster.as_bytes());
        out.extend(owner.group.get().to_le_bytes());
        out.extend(sizes.data.to_le_bytes());
        out.extend(sizes.sessions.to_le_bytes());
        out.extend(sizes.chunk.to_le_bytes());
        out.extend(data_crc.to_le_bytes());
        // Shorter than the whole, whose length is a `u32`.
        out.extend(u32::try_from(meta.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend([0; 4]);
        out.extend(meta);
        chunk_crcs.iter().for_each(|crc| out.extend(crc.to_le_bytes()));
        out.extend(crc32fast::hash(&out).to_le_bytes());
        // One place knows what fits together.
        Self::decode(Bytes::from(out))
    }

    /// The manifest of the same snapshot as another owner would have written it.
    pub(crate) fn given_to(&self, owner: Owner) -> Self {
        let crcs: Vec<u32> =
            self.chunk_crcs.as_chunks::<4>().0.iter().map(|crc| u32::from_le_bytes(*crc)).collect();
        Self::new(owner, self.meta.clone(), self.sizes, self.data_crc, &crcs)
            .expect("it is as long as one that exists")
    }

    /// Reads what [`Manifest::encoded`] gave. The manifest shares `encoded`.
    ///
    /// # Errors
    ///
    /// If the bytes are of a later version, damaged, or no manifest.
    pub fn decode(encoded: Bytes) -> Result<Self, ManifestError> {
        let body_len = encoded.len().saturating_sub(CRC_LEN);
        let (body, crc) = encoded.split_at(body_len);
        let is_intact = crc == crc32fast::hash(body).to_le_bytes();
        let len = match length_of(&encoded) {
            // A manifest of any version ends so. One that does not is damaged, and not of a later one.
            Err(ManifestError::FutureVersion { .. } | ManifestError::FutureFlags { .. })
                if !is_intact =>
            {
                return Err(ManifestError::Checksum);
            }
            len => len?,
        };
        if wide(encoded.len()) != u64::from(len) {
            return Err(ManifestError::Malformed("the manifest has another length than it says"));
        }
        if !is_intact {
            return Err(ManifestError::Checksum);
        }
        decode_checked(&encoded, body_len)
    }
}

/// The length of a manifest that begins with `prefix`.
pub(crate) fn length_of(prefix: &[u8]) -> Result<u32, ManifestError> {
    const SHORT: ManifestError = ManifestError::Malformed("the manifest is cut off");
    let mut fields = Fields(prefix);
    if fields.array().ok_or(SHORT)? != MAGIC {
        return Err(ManifestError::Malformed("the first bytes are not those of a manifest"));
    }
    let version = fields.array().map(u16::from_le_bytes).ok_or(SHORT)?;
    if version != MAJOR {
        return Err(ManifestError::FutureVersion { version });
    }
    let _minor: [u8; 2] = fields.array().ok_or(SHORT)?;
    let flags = fields.u32().ok_or(SHORT)?;
    if flags != 0 {
        return Err(ManifestError::FutureFlags { flags });
    }
    fields.zero(4).ok_or(ManifestError::Malformed("reserved bytes are not zero"))?;
    let len = fields.u32().ok_or(SHORT)?;
    let least = wide(HEAD_LEN + CRC_LEN);
    if u64::from(len) < least || len > MANIFEST_BYTES_MAX {
        return Err(ManifestError::Malformed("the length of the manifest is out of bounds"));
    }
    Ok(len)
}

/// Reads the fields of a manifest whose length and checksum are right.
fn decode_checked(encoded: &Bytes, body_len: usize) -> Result<Manifest, ManifestError> {
    const INVALID: ManifestError = ManifestError::Malformed("a field of the manifest is invalid");
    let mut fields = Fields(encoded.get(PREFIX_LEN..body_len).unwrap_or_default());
    let owner = Owner {
        cluster: fields.array().map(ClusterId::new).ok_or(INVALID)?,
        group: fields.u64().and_then(GroupId::new).ok_or(INVALID)?,
    };
    let sizes = Sizes {
        data: fields.u64().ok_or(INVALID)?,
        sessions: fields.u64().ok_or(INVALID)?,
        chunk: fields.u32().ok_or(INVALID)?,
    };
    let data_crc = fields.u32().ok_or(INVALID)?;
    let meta_len = fields.u32().ok_or(INVALID)?;
    fields.zero(4).ok_or(ManifestError::Malformed("reserved bytes are not zero"))?;
    let meta = fields.slice(narrow(u64::from(meta_len))).ok_or(INVALID)?;
    let meta = SnapshotMeta::decode(meta)?;
    let crcs_len = fields.0.len();
    let fits = (1..=CHUNK_BYTES_MAX).contains(&sizes.chunk)
        && sizes.sessions <= sizes.data
        && sizes.chunks().checked_mul(4) == Some(wide(crcs_len));
    if !fits {
        return Err(INVALID);
    }
    let chunk_crcs = encoded.slice(body_len - crcs_len..body_len);
    Ok(Manifest { owner, meta, sizes, data_crc, chunk_crcs, encoded: encoded.clone() })
}

/// Takes little-endian fields from the front; `None` past the end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn zero(&mut self, len: usize) -> Option<()> {
        self.slice(len)?.iter().all(|byte| *byte == 0).then_some(())
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
