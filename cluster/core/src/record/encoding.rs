//! The records to and from their messages.

use proto::digest::Digest;
use proto::identity::{AccountId, NodeId, RegistryId};
use proto::upload::UploadId;
use proto::wire::record as wire;

use super::node::copies_from_wire;
use super::{
    BlobRecord, ClusterRecord, LinkRecord, LogTimeRecord, ManifestRecord, NodeKeyRecord, Record, RecordError,
    ReferrerRecord, RootRecord, TagRecord,
};

impl Record for ClusterRecord {
    type Wire = wire::Cluster;

    fn to_wire(&self) -> wire::Cluster {
        wire::Cluster {
            cluster_id: self.cluster_id.to_vec(),
            account: self.registry.account.to_string(),
            region: self.registry.region.to_string(),
        }
    }

    fn from_wire(wire: wire::Cluster) -> Result<Self, RecordError> {
        let account: AccountId = wire.account.parse().map_err(|_| RecordError::Field("account"))?;
        let region = wire.region.parse().map_err(|_| RecordError::Field("region"))?;
        let cluster_id = wire.cluster_id.try_into().map_err(|_| RecordError::Field("cluster id"))?;
        Ok(Self { cluster_id, registry: RegistryId { account, region } })
    }
}

impl Record for LogTimeRecord {
    type Wire = wire::LogTime;

    fn to_wire(&self) -> wire::LogTime {
        wire::LogTime { time_ms: self.time_ms }
    }

    fn from_wire(wire: wire::LogTime) -> Result<Self, RecordError> {
        Ok(Self { time_ms: wire.time_ms })
    }
}

impl Record for RootRecord {
    type Wire = wire::Root;

    fn to_wire(&self) -> wire::Root {
        wire::Root { password_hash: self.password_hash.clone() }
    }

    fn from_wire(wire: wire::Root) -> Result<Self, RecordError> {
        Ok(Self { password_hash: wire.password_hash })
    }
}

impl Record for NodeKeyRecord {
    type Wire = wire::NodeKey;

    fn to_wire(&self) -> wire::NodeKey {
        wire::NodeKey { public_key: self.public_key.to_vec() }
    }

    fn from_wire(wire: wire::NodeKey) -> Result<Self, RecordError> {
        Ok(Self { public_key: wire.public_key.try_into().map_err(|_| RecordError::Field("public key"))? })
    }
}

impl Record for TagRecord {
    type Wire = wire::Tag;

    fn to_wire(&self) -> wire::Tag {
        wire::Tag {
            digest: self.digest.to_bytes(),
            media_type: self.media_type.clone(),
            size: self.size,
            pushed_ms: self.pushed_ms,
            updated_index: self.updated_index,
        }
    }

    fn from_wire(wire: wire::Tag) -> Result<Self, RecordError> {
        Ok(Self {
            digest: digest(&wire.digest)?,
            media_type: wire.media_type,
            size: wire.size,
            pushed_ms: wire.pushed_ms,
            updated_index: wire.updated_index,
        })
    }
}

impl Record for ManifestRecord {
    type Wire = wire::Manifest;

    fn to_wire(&self) -> wire::Manifest {
        wire::Manifest {
            media_type: self.media_type.clone(),
            size: self.size,
            pushed_ms: self.pushed_ms,
            blobs: self.blobs.iter().map(Digest::to_bytes).collect(),
            children: self.children.iter().map(Digest::to_bytes).collect(),
            subject: self.subject.as_ref().map(Digest::to_bytes),
            artifact_type: self.artifact_type.clone(),
        }
    }

    fn from_wire(wire: wire::Manifest) -> Result<Self, RecordError> {
        let digests = |list: &[Vec<u8>]| -> Result<Vec<Digest>, RecordError> {
            list.iter().map(|bytes| digest(bytes)).collect()
        };
        Ok(Self {
            media_type: wire.media_type,
            size: wire.size,
            pushed_ms: wire.pushed_ms,
            blobs: digests(&wire.blobs)?,
            children: digests(&wire.children)?,
            subject: wire.subject.map(|bytes| digest(&bytes)).transpose()?,
            artifact_type: wire.artifact_type,
        })
    }
}

impl Record for BlobRecord {
    type Wire = wire::Blob;

    const VERSION: u8 = 2;

    fn to_wire(&self) -> wire::Blob {
        wire::Blob {
            size: self.size,
            generation: self.generation.to_bytes().to_vec(),
            pieces_root: self.pieces_root.to_vec(),
            links: self.links,
            lease_until_ms: self.lease_until_ms,
            created_ms: self.created_ms,
            copies: self.copies.iter().map(|node| NodeId::get(*node)).collect(),
        }
    }

    fn from_wire(wire: wire::Blob) -> Result<Self, RecordError> {
        Ok(Self {
            size: wire.size,
            generation: UploadId::from_bytes(&wire.generation).ok_or(RecordError::Field("generation"))?,
            pieces_root: wire.pieces_root.try_into().map_err(|_| RecordError::Field("pieces root"))?,
            links: wire.links,
            lease_until_ms: wire.lease_until_ms,
            created_ms: wire.created_ms,
            copies: copies_from_wire(&wire.copies)?,
        })
    }
}

impl Record for LinkRecord {
    type Wire = wire::Link;

    fn to_wire(&self) -> wire::Link {
        wire::Link { references: self.references }
    }

    fn from_wire(wire: wire::Link) -> Result<Self, RecordError> {
        Ok(Self { references: wire.references })
    }
}

impl Record for ReferrerRecord {
    type Wire = wire::Referrer;

    fn to_wire(&self) -> wire::Referrer {
        wire::Referrer {
            media_type: self.media_type.clone(),
            size: self.size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
        }
    }

    fn from_wire(wire: wire::Referrer) -> Result<Self, RecordError> {
        Ok(Self {
            media_type: wire.media_type,
            size: wire.size,
            artifact_type: wire.artifact_type,
            annotations: wire.annotations,
        })
    }
}

fn digest(bytes: &[u8]) -> Result<Digest, RecordError> {
    Digest::from_bytes(bytes).ok_or(RecordError::Field("digest"))
}

#[cfg(test)]
#[path = "encoding_test.rs"]
mod tests;
