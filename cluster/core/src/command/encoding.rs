//! Batches to and from the bytes of the Raft log (`proto/wire/command.proto`).
//!
//! What does not decode stops the node: skipping it would make this node's state differ from the others'.
//!
//! Longer than 300 lines: a command's way into bytes and back is easier to check where both stand.

use prost::Message;
use proto::digest::Digest;
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;
use proto::wire::command as wire;
use wire::command::Kind;
use wire::condition::Kind as ConditionKind;

use super::{
    Batch, Command, CommitBlob, Condition, InitCluster, MountBlob, NodeCommand, PutManifest, RegisterNodeKey,
    image_encoding, node_encoding, principal_encoding, repository_encoding,
};
use crate::key::RepositoryId;
use crate::level::{self, Levels};

/// Why the bytes are not a batch that this release can apply.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by another release.
    #[error(
        "the entry has version {found}, this release applies up to {newest}: run the release that wrote it"
    )]
    UnknownVersion {
        /// Of the entry.
        found: u32,
        /// That is read here.
        newest: u32,
    },
    /// Written by another release.
    #[error("the entry has a command that this release does not know: run the release that wrote it")]
    UnknownCommand,
    /// Not a batch at all.
    #[error("the entry is not a batch of commands")]
    NotABatch(#[from] prost::DecodeError),
    /// A command makes no sense.
    #[error("a command of the entry has an impossible {0}")]
    Field(&'static str),
}

impl Batch {
    /// The bytes for the log: of the first version that has all the commands, which is their level. So nodes of a
    /// release that does not know later ones read all that they know. Release 0.1 wrote version 1.
    pub fn encode(&self) -> Vec<u8> {
        let commands = self.commands.iter().map(|command| wire::Command { kind: Some(to_wire(command)) });
        let version = self.commands.iter().map(Command::level).max().unwrap_or(level::FIRST);
        wire::Batch { version, time_ms: self.time_ms, commands: commands.collect() }.encode_to_vec()
    }

    /// Reads what [`Batch::encode`] wrote, of this release or an earlier one.
    ///
    /// # Errors
    /// Every error means that this node must stop before the entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_as(Levels::OWN, bytes)
    }

    /// As [`Batch::decode`], of a release that speaks these levels.
    ///
    /// # Errors
    /// As [`Batch::decode`].
    pub fn decode_as(levels: Levels, bytes: &[u8]) -> Result<Self, DecodeError> {
        let batch = wire::Batch::decode(bytes)?;
        let (found, newest) = (batch.version, levels.newest);
        if !(1..=newest).contains(&found) {
            return Err(DecodeError::UnknownVersion { found, newest });
        }
        let command = |command: wire::Command| from_wire(command.kind.ok_or(DecodeError::UnknownCommand)?);
        let commands = batch.commands.into_iter().map(command).collect::<Result<_, _>>()?;
        Ok(Self { time_ms: batch.time_ms, commands })
    }
}

impl Command {
    /// About how many bytes the command takes in the log.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::PutManifest(put) => put.encoded_len(),
            Self::MountBlob(mount) => 256 * (1 + mount.from.len()),
            Self::CommitBlob(commit) => 512 + 24 * commit.copies.len(),
            Self::ConfirmCopies(confirm) => {
                256 + 24 * (confirm.added.len() + confirm.lost.len() + confirm.released.len())
            }
            Self::Node(_) => 4096,
            Self::Principal(command) => 4096 + command.text_len(),
            Self::Image(command) => command.encoded_len(),
            Self::Repository(command) => 4096 + command.text_len(),
            _ => 512,
        }
    }
}

impl PutManifest {
    pub(super) fn encoded_len(&self) -> usize {
        let annotations: usize = self.annotations.iter().map(|(name, text)| name.len() + text.len()).sum();
        self.content.len() + annotations + 80 * (self.blobs.len() + self.children.len()) + 1024
    }
}

fn to_wire(command: &Command) -> Kind {
    match command {
        Command::InitCluster(init) => Kind::InitCluster(wire::InitCluster {
            cluster_id: init.cluster_id.to_vec(),
            registry: Some(registry_to_wire(&init.registry)),
            root_password_hash: init.root_password_hash.clone(),
        }),
        Command::RegisterNodeKey(register) => Kind::RegisterNodeKey(wire::RegisterNodeKey {
            node: register.node.get(),
            public_key: register.public_key.to_vec(),
        }),
        Command::CommitBlob(commit) => Kind::CommitBlob(wire::CommitBlob {
            repository: Some(repository_to_wire(&commit.repository)),
            digest: commit.digest.to_bytes(),
            size: commit.size,
            generation: commit.generation.to_bytes().to_vec(),
            pieces_root: commit.pieces_root.to_vec(),
            staging_deadline_ms: commit.staging_deadline_ms,
            copies: node_encoding::receipts_to_wire(&commit.copies),
            required_copies: commit.required_copies,
            required_zones: commit.required_zones,
        }),
        Command::MountBlob(mount) => Kind::MountBlob(wire::MountBlob {
            repository: Some(repository_to_wire(&mount.repository)),
            digest: mount.digest.to_bytes(),
            from: mount.from.iter().map(ToString::to_string).collect(),
        }),
        Command::RenewLease { digest } => Kind::RenewLease(wire::RenewLease { digest: digest.to_bytes() }),
        Command::UnlinkBlob { repository, digest } => Kind::UnlinkBlob(wire::UnlinkBlob {
            repository: Some(repository_to_wire(repository)),
            digest: digest.to_bytes(),
        }),
        Command::DropBlob { digest, generation } => Kind::DropBlob(wire::DropBlob {
            digest: digest.to_bytes(),
            generation: generation.to_bytes().to_vec(),
        }),
        Command::PutManifest(put) => Kind::PutManifest(put_to_wire(put)),
        Command::DeleteManifest { repository, digest } => Kind::DeleteManifest(wire::DeleteManifest {
            repository: Some(repository_to_wire(repository)),
            digest: digest.to_bytes(),
        }),
        Command::DeleteTag { repository, tag } => Kind::DeleteTag(wire::DeleteTag {
            repository: Some(repository_to_wire(repository)),
            tag: tag.to_string(),
        }),
        Command::Node(command) => node_encoding::to_wire(command),
        Command::ConfirmCopies(confirm) => node_encoding::confirm_to_wire(confirm),
        Command::RecountCopies { limit } => Kind::RecountCopies(wire::RecountCopies { limit: *limit }),
        Command::Principal(command) => Kind::Principal(principal_encoding::to_wire(command)),
        Command::Image(command) => Kind::Image(image_encoding::to_wire(command)),
        Command::Repository(command) => Kind::Repository(repository_encoding::to_wire(command)),
    }
}

pub(super) fn put_to_wire(put: &PutManifest) -> wire::PutManifest {
    let sized = |(digest, size): &(Digest, u64)| wire::SizedDigest { digest: digest.to_bytes(), size: *size };
    wire::PutManifest {
        repository: Some(repository_to_wire(&put.repository)),
        digest: put.digest.to_bytes(),
        media_type: put.media_type.clone(),
        content: put.content.clone(),
        blobs: put.blobs.iter().map(sized).collect(),
        children: put.children.iter().map(Digest::to_bytes).collect(),
        subject: put.subject.as_ref().map(Digest::to_bytes),
        artifact_type: put.artifact_type.clone(),
        annotations: put.annotations.clone(),
        tags: put.tags.iter().map(ToString::to_string).collect(),
        condition: put.condition.as_ref().map(|condition| wire::Condition {
            kind: Some(match condition {
                Condition::IfMatch(wanted) => ConditionKind::IfMatch(wire::Digests {
                    digests: wanted.iter().map(Digest::to_bytes).collect(),
                }),
                Condition::IfMatchAny => ConditionKind::IfMatchAny(wire::Nothing {}),
                Condition::IfNoneMatchAny => ConditionKind::IfNoneMatchAny(wire::Nothing {}),
            }),
        }),
    }
}

fn registry_to_wire(registry: &RegistryId) -> wire::Registry {
    wire::Registry { account: registry.account.to_string(), region: registry.region.to_string() }
}

pub(super) fn repository_to_wire(id: &RepositoryId) -> wire::Repository {
    wire::Repository { registry: Some(registry_to_wire(&id.registry)), name: id.name.to_string() }
}

fn from_wire(kind: Kind) -> Result<Command, DecodeError> {
    Ok(match kind {
        Kind::InitCluster(init) => Command::InitCluster(InitCluster {
            cluster_id: array(init.cluster_id, "cluster id")?,
            registry: registry(init.registry)?,
            root_password_hash: init.root_password_hash,
        }),
        Kind::RegisterNodeKey(register) => Command::RegisterNodeKey(RegisterNodeKey {
            node: NodeId::new(register.node).ok_or(DecodeError::Field("node"))?,
            public_key: array(register.public_key, "public key")?,
        }),
        Kind::CommitBlob(commit) => Command::CommitBlob(CommitBlob {
            repository: repository(commit.repository)?,
            digest: digest(&commit.digest)?,
            size: commit.size,
            generation: generation(&commit.generation)?,
            pieces_root: array(commit.pieces_root, "pieces root")?,
            staging_deadline_ms: commit.staging_deadline_ms,
            copies: node_encoding::receipts(&commit.copies)?,
            required_copies: commit.required_copies,
            required_zones: commit.required_zones,
        }),
        Kind::MountBlob(mount) => Command::MountBlob(MountBlob {
            repository: repository(mount.repository)?,
            digest: digest(&mount.digest)?,
            from: texts(&mount.from, "repository name")?,
        }),
        Kind::RenewLease(renew) => Command::RenewLease { digest: digest(&renew.digest)? },
        Kind::UnlinkBlob(unlink) => Command::UnlinkBlob {
            repository: repository(unlink.repository)?,
            digest: digest(&unlink.digest)?,
        },
        Kind::DropBlob(drop) => {
            Command::DropBlob { digest: digest(&drop.digest)?, generation: generation(&drop.generation)? }
        }
        Kind::PutManifest(put) => Command::PutManifest(Box::new(put_from_wire(put)?)),
        Kind::DeleteManifest(delete) => Command::DeleteManifest {
            repository: repository(delete.repository)?,
            digest: digest(&delete.digest)?,
        },
        Kind::DeleteTag(delete) => {
            Command::DeleteTag { repository: repository(delete.repository)?, tag: text(&delete.tag, "tag")? }
        }
        Kind::ConfirmCopies(confirm) => Command::ConfirmCopies(node_encoding::confirm(&confirm)?),
        Kind::RecountCopies(recount) => Command::RecountCopies { limit: recount.limit },
        Kind::Principal(command) => Command::Principal(Box::new(principal_encoding::from_wire(command)?)),
        Kind::Image(command) => Command::Image(Box::new(image_encoding::from_wire(command)?)),
        Kind::Repository(command) => Command::Repository(Box::new(repository_encoding::from_wire(command)?)),
        kind => Command::Node(Box::new(node_from_wire(kind)?)),
    })
}

fn node_from_wire(kind: Kind) -> Result<NodeCommand, DecodeError> {
    match kind {
        Kind::CreateJoinToken(create) => node_encoding::create_token(create),
        Kind::RevokeJoinToken(revoke) => node_encoding::revoke_token(revoke),
        Kind::AddNode(add) => node_encoding::add(add),
        Kind::UpdateNode(update) => node_encoding::update(update),
        Kind::SetNodeState(set) => node_encoding::set_state(set),
        Kind::PinVoter(pin) => node_encoding::pin_voter(pin),
        Kind::ChangeLayout(change) => node_encoding::change_layout(change),
        Kind::RemoveNode(remove) => node_encoding::remove(&remove),
        _ => Err(DecodeError::UnknownCommand),
    }
}

pub(super) fn put_from_wire(put: wire::PutManifest) -> Result<PutManifest, DecodeError> {
    let sized = |blob: &wire::SizedDigest| Ok((digest(&blob.digest)?, blob.size));
    Ok(PutManifest {
        repository: repository(put.repository)?,
        digest: digest(&put.digest)?,
        media_type: put.media_type,
        content: put.content,
        blobs: put.blobs.iter().map(sized).collect::<Result<_, DecodeError>>()?,
        children: digests(&put.children)?,
        subject: put.subject.map(|bytes| digest(&bytes)).transpose()?,
        artifact_type: put.artifact_type,
        annotations: put.annotations,
        tags: texts(&put.tags, "tag")?,
        condition: put.condition.map(condition).transpose()?,
    })
}

fn condition(wire: wire::Condition) -> Result<Condition, DecodeError> {
    Ok(match wire.kind.ok_or(DecodeError::UnknownCommand)? {
        ConditionKind::IfMatch(wanted) => Condition::IfMatch(digests(&wanted.digests)?),
        ConditionKind::IfMatchAny(_) => Condition::IfMatchAny,
        ConditionKind::IfNoneMatchAny(_) => Condition::IfNoneMatchAny,
    })
}

fn registry(wire: Option<wire::Registry>) -> Result<RegistryId, DecodeError> {
    let wire = wire.ok_or(DecodeError::Field("registry"))?;
    Ok(RegistryId { account: text(&wire.account, "account")?, region: text(&wire.region, "region")? })
}

pub(super) fn repository(wire: Option<wire::Repository>) -> Result<RepositoryId, DecodeError> {
    let wire = wire.ok_or(DecodeError::Field("repository"))?;
    Ok(RepositoryId { registry: registry(wire.registry)?, name: text(&wire.name, "repository name")? })
}

pub(super) fn text<T: std::str::FromStr>(text: &str, field: &'static str) -> Result<T, DecodeError> {
    text.parse().map_err(|_| DecodeError::Field(field))
}

pub(super) fn texts<T: std::str::FromStr>(
    list: &[String],
    field: &'static str,
) -> Result<Vec<T>, DecodeError> {
    list.iter().map(|one| text(one, field)).collect()
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, DecodeError> {
    Digest::from_bytes(bytes).ok_or(DecodeError::Field("digest"))
}

fn digests(list: &[Vec<u8>]) -> Result<Vec<Digest>, DecodeError> {
    list.iter().map(|bytes| digest(bytes)).collect()
}

pub(super) fn generation(bytes: &[u8]) -> Result<UploadId, DecodeError> {
    UploadId::from_bytes(bytes).ok_or(DecodeError::Field("generation"))
}

pub(super) fn array<const N: usize>(bytes: Vec<u8>, field: &'static str) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Field(field))
}

#[cfg(test)]
#[path = "encoding_test.rs"]
pub(super) mod tests;
