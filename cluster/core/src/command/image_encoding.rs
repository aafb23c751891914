//! Commands about images, and their answers, to and from their messages (`proto/wire/command.proto`, `peer.proto`).

use proto::digest::Digest;
use proto::name::Tag;
use proto::wire::command as wire;
use proto::wire::peer;
use wire::image_command::Kind;

use super::encoding::{
    DecodeError, digest, put_from_wire, put_to_wire, repository, repository_to_wire, text,
};
use super::image::{Dialect, ImageCommand, ImageName, ImageRefusal, IndexFrom, Pull, PutImage};
use super::response_encoding::{sizes, sizes_from_wire};
use crate::key::RepositoryId;
use crate::record::StorageClass;

pub(super) fn to_wire(command: &ImageCommand) -> wire::ImageCommand {
    let kind = match command {
        ImageCommand::Put(put) => Kind::Put(wire::PutImage {
            manifest: Some(put_to_wire(&put.manifest)),
            is_of_ecr: put.dialect == Dialect::Ecr,
        }),
        ImageCommand::Delete { repository, image } => Kind::Delete(delete_to_wire(repository, image)),
        ImageCommand::DeleteManifest { repository, digest } => Kind::DeleteManifest(wire::DeleteManifest {
            repository: Some(repository_to_wire(repository)),
            digest: digest.to_bytes(),
        }),
        ImageCommand::SetStorageClass { repository, digest, target } => {
            Kind::SetStorageClass(wire::SetStorageClass {
                repository: Some(repository_to_wire(repository)),
                digest: digest.to_bytes(),
                target: match target {
                    StorageClass::Active => wire::StorageClass::Active,
                    StorageClass::Archived => wire::StorageClass::Archived,
                }
                .into(),
            })
        }
        ImageCommand::RecordPulls(pulls) => {
            Kind::RecordPulls(wire::RecordPulls { pulls: pulls.iter().map(pull_to_wire).collect() })
        }
        ImageCommand::Index { from, limit } => {
            Kind::Index(wire::IndexImages { limit: *limit, from_start: *from == IndexFrom::Start })
        }
    };
    wire::ImageCommand { kind: Some(kind) }
}

fn delete_to_wire(repository: &RepositoryId, image: &ImageName) -> wire::DeleteImage {
    let (digest, tag) = match image {
        ImageName::Digest(digest) => (Some(digest), None),
        ImageName::Tag(tag) => (None, Some(tag)),
        ImageName::TagOf(digest, tag) => (Some(digest), Some(tag)),
    };
    wire::DeleteImage {
        repository: Some(repository_to_wire(repository)),
        digest: digest.map(Digest::to_bytes),
        tag: tag.map(ToString::to_string),
    }
}

fn pull_to_wire(pull: &Pull) -> wire::Pull {
    wire::Pull {
        repository: Some(repository_to_wire(&pull.repository)),
        digest: pull.digest.to_bytes(),
        at_ms: pull.at_ms,
    }
}

pub(super) fn from_wire(command: wire::ImageCommand) -> Result<ImageCommand, DecodeError> {
    Ok(match command.kind.ok_or(DecodeError::UnknownCommand)? {
        Kind::Put(put) => ImageCommand::Put(PutImage {
            manifest: put_from_wire(put.manifest.ok_or(DecodeError::Field("manifest"))?)?,
            dialect: if put.is_of_ecr { Dialect::Ecr } else { Dialect::Oci },
        }),
        Kind::Delete(delete) => {
            let named = delete.digest.map(|bytes| digest(&bytes)).transpose()?;
            let tag = delete.tag.map(|tag| text(&tag, "tag")).transpose()?;
            let image = match (named, tag) {
                (Some(digest), None) => ImageName::Digest(digest),
                (None, Some(tag)) => ImageName::Tag(tag),
                (Some(digest), Some(tag)) => ImageName::TagOf(digest, tag),
                (None, None) => return Err(DecodeError::Field("image")),
            };
            ImageCommand::Delete { repository: repository(delete.repository)?, image }
        }
        Kind::DeleteManifest(delete) => ImageCommand::DeleteManifest {
            repository: repository(delete.repository)?,
            digest: digest(&delete.digest)?,
        },
        Kind::SetStorageClass(set) => ImageCommand::SetStorageClass {
            target: match set.target() {
                wire::StorageClass::Active => StorageClass::Active,
                wire::StorageClass::Archived => StorageClass::Archived,
                wire::StorageClass::Unspecified => return Err(DecodeError::Field("storage class")),
            },
            repository: repository(set.repository)?,
            digest: digest(&set.digest)?,
        },
        Kind::RecordPulls(record) => {
            ImageCommand::RecordPulls(record.pulls.into_iter().map(pull).collect::<Result<_, _>>()?)
        }
        Kind::Index(index) => ImageCommand::Index {
            from: if index.from_start { IndexFrom::Start } else { IndexFrom::Last },
            limit: index.limit,
        },
    })
}

fn pull(wire: wire::Pull) -> Result<Pull, DecodeError> {
    Ok(Pull { repository: repository(wire.repository)?, digest: digest(&wire.digest)?, at_ms: wire.at_ms })
}

pub(super) fn removed_to_wire(images: &[(Digest, Option<Tag>)]) -> peer::RemovedImages {
    let image = |(digest, tag): &(Digest, Option<Tag>)| peer::RemovedImage {
        digest: digest.to_bytes(),
        tag: tag.as_ref().map(ToString::to_string),
    };
    peer::RemovedImages { images: images.iter().map(image).collect() }
}

pub(super) fn removed(wire: &peer::RemovedImages) -> Option<Vec<(Digest, Option<Tag>)>> {
    let image = |image: &peer::RemovedImage| {
        let tag = image.tag.as_ref().map(|tag| tag.parse()).transpose().ok()?;
        Some((Digest::from_bytes(&image.digest)?, tag))
    };
    wire.images.iter().map(image).collect()
}

pub(super) fn refusal_to_wire(refusal: &ImageRefusal) -> peer::ImageRefused {
    use peer::image_refused::Kind;
    let nothing = peer::Nothing {};
    let kind = match refusal {
        ImageRefusal::NoRepository => Kind::NoRepository(nothing),
        ImageRefusal::AlreadyThere => Kind::AlreadyThere(nothing),
        ImageRefusal::MissingChildren(digests) => {
            let sized: Vec<_> = digests.iter().map(|digest| (*digest, 0)).collect();
            Kind::MissingChildren(sizes(&sized))
        }
        ImageRefusal::NotFound => Kind::NotFound(nothing),
        ImageRefusal::TagDoesNotMatchDigest => Kind::TagDoesNotMatchDigest(nothing),
        ImageRefusal::ReferencedByIndex(index) => Kind::ReferencedByIndex(index.to_bytes()),
        ImageRefusal::IndexNotArchived(index) => Kind::IndexNotArchived(index.to_bytes()),
    };
    peer::ImageRefused { kind: Some(kind) }
}

pub(super) fn refusal(wire: peer::ImageRefused) -> Option<ImageRefusal> {
    use peer::image_refused::Kind;
    Some(match wire.kind? {
        Kind::NoRepository(_) => ImageRefusal::NoRepository,
        Kind::AlreadyThere(_) => ImageRefusal::AlreadyThere,
        Kind::MissingChildren(children) => {
            let digests = sizes_from_wire(&children)?.into_iter().map(|(digest, _)| digest);
            ImageRefusal::MissingChildren(digests.collect())
        }
        Kind::NotFound(_) => ImageRefusal::NotFound,
        Kind::TagDoesNotMatchDigest(_) => ImageRefusal::TagDoesNotMatchDigest,
        Kind::ReferencedByIndex(index) => ImageRefusal::ReferencedByIndex(Digest::from_bytes(&index)?),
        Kind::IndexNotArchived(index) => ImageRefusal::IndexNotArchived(Digest::from_bytes(&index)?),
    })
}

#[cfg(test)]
#[path = "image_encoding_test.rs"]
pub(super) mod tests;
