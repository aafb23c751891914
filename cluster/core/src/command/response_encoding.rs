//! Answers to commands, for a node that proposed through another one (`proto/wire/peer.proto`).

use prost::Message;
use proto::digest::Digest;
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;
use proto::wire::peer as wire;
use wire::response::Kind;

use super::repository_encoding::{refusal_from_wire, refusal_to_wire};
use super::{Bound, Noun, PrincipalRefusal, Response, TokenRefusal, image_encoding};

impl Response {
    /// The bytes for another node.
    pub fn encode(&self) -> Vec<u8> {
        wire::Response { kind: Some(to_wire(self)) }.encode_to_vec()
    }

    /// Reads what [`Response::encode`] wrote; `None` for anything else, a newer release's answer included:
    /// what became of the command is then not known.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        from_wire(wire::Response::decode(bytes).ok()?.kind?)
    }
}

fn to_wire(response: &Response) -> Kind {
    let nothing = wire::Nothing {};
    match response {
        Response::ClusterInitialized => Kind::ClusterInitialized(nothing),
        Response::AlreadyInitialized { cluster_id, registry } => {
            Kind::AlreadyInitialized(wire::AlreadyInitialized {
                cluster_id: cluster_id.to_vec(),
                account: registry.account.to_string(),
                region: registry.region.to_string(),
            })
        }
        Response::NodeKeyRegistered => Kind::NodeKeyRegistered(nothing),
        Response::BlobLinked { generation } => Kind::BlobLinked(generation.to_bytes().to_vec()),
        Response::StagingExpired => Kind::StagingExpired(nothing),
        Response::Mounted { size } => Kind::Mounted(*size),
        Response::NotMounted => Kind::NotMounted(nothing),
        Response::LeaseRenewed { until_ms } => Kind::LeaseRenewed(*until_ms),
        Response::Unlinked => Kind::Unlinked(nothing),
        Response::InUse => Kind::InUse(nothing),
        Response::Dropped => Kind::Dropped(nothing),
        Response::Kept => Kind::Kept(nothing),
        Response::ManifestStored { created, index } => {
            Kind::ManifestStored(wire::ManifestStored { created: *created, index: *index })
        }
        Response::MissingBlobs(digests) => {
            Kind::MissingBlobs(sizes(&digests.iter().map(|digest| (*digest, 0)).collect::<Vec<_>>()))
        }
        Response::SizeMismatch(blobs) => Kind::SizeMismatch(sizes(blobs)),
        Response::ConditionFailed { current } => {
            Kind::ConditionFailed(wire::ConditionFailed { current: current.as_ref().map(Digest::to_bytes) })
        }
        Response::Deleted => Kind::Deleted(nothing),
        Response::NotFound => Kind::NotFound(nothing),
        Response::JoinTokenCreated => Kind::JoinTokenCreated(nothing),
        Response::Revoked => Kind::Revoked(nothing),
        Response::NodeAdded { node } => Kind::NodeAdded(node.get()),
        Response::TokenRefused(refusal) => Kind::TokenRefused(token_to_wire(*refusal).into()),
        Response::NodeExists { node } => Kind::NodeExists(node.get()),
        Response::StaleIncarnation { recorded } => Kind::StaleIncarnation(*recorded),
        Response::NodeUpdated => Kind::NodeUpdated(nothing),
        Response::NodeRemoved => Kind::NodeRemoved(nothing),
        Response::LayoutChanged { version } => Kind::LayoutChanged(*version),
        Response::NotYet { needed, level } => Kind::NotYet(wire::NotYet { needed: *needed, level: *level }),
        Response::LevelRefused { level } => Kind::LevelRefused(*level),
        Response::StillNeeded { example } => {
            Kind::StillNeeded(wire::StillNeeded { example: example.as_ref().map(Digest::to_bytes) })
        }
        Response::CopiesConfirmed { copies } => Kind::CopiesConfirmed(nodes(copies)),
        Response::TooFewCopies { copies, zones } => {
            Kind::TooFewCopies(wire::TooFewCopies { copies: *copies, zones: *zones })
        }
        Response::VoidReceipts(void) => Kind::VoidReceipts(nodes(void)),
        Response::Recounted { is_done } => Kind::Recounted(wire::Recounted { done: *is_done }),
        Response::PrincipalChanged => Kind::PrincipalChanged(nothing),
        Response::PrincipalRefused(refusal) => Kind::PrincipalRefused(principal_to_wire(*refusal)),
        Response::ImagesDeleted(images) => Kind::ImagesDeleted(image_encoding::removed_to_wire(images)),
        Response::ImageChanged => Kind::ImageChanged(nothing),
        Response::ImageRefused(refusal) => Kind::ImageRefused(image_encoding::refusal_to_wire(refusal)),
        Response::ImagesIndexed { is_done } => Kind::ImagesIndexed(wire::Recounted { done: *is_done }),
        Response::TagImmutable { tag } => Kind::TagImmutable(tag.to_string()),
        Response::RepositoryChanged { created_ms } => Kind::RepositoryChanged(*created_ms),
        Response::RepositoryCleared { is_done } => {
            Kind::RepositoryCleared(wire::Recounted { done: *is_done })
        }
        Response::DocumentStored { created_ms, changed_ms } => {
            Kind::DocumentStored(wire::DocumentStored { created_ms: *created_ms, changed_ms: *changed_ms })
        }
        Response::RepositoryRefused(refusal) => Kind::RepositoryRefused(refusal_to_wire(*refusal)),
    }
}

fn token_to_wire(refusal: TokenRefusal) -> wire::TokenRefusal {
    match refusal {
        TokenRefusal::Unknown => wire::TokenRefusal::Unknown,
        TokenRefusal::Expired => wire::TokenRefusal::Expired,
        TokenRefusal::Used => wire::TokenRefusal::Used,
    }
}

fn principal_to_wire(refusal: PrincipalRefusal) -> wire::PrincipalRefused {
    use wire::principal_refused::Kind;
    let kind = match refusal {
        PrincipalRefusal::Exists(noun) => Kind::Exists(noun_to_wire(noun)),
        PrincipalRefusal::NotFound(noun) => Kind::NotFound(noun_to_wire(noun)),
        PrincipalRefusal::Limit(bound) => Kind::Limit(bound_to_wire(bound)),
        PrincipalRefusal::InUse(noun) => Kind::InUse(noun_to_wire(noun)),
        PrincipalRefusal::Changed => Kind::Changed(wire::Nothing {}),
    };
    wire::PrincipalRefused { kind: Some(kind) }
}

fn principal_from_wire(refused: &wire::PrincipalRefused) -> Option<PrincipalRefusal> {
    use wire::principal_refused::Kind;
    Some(match refused.kind.as_ref()? {
        Kind::Exists(noun) => PrincipalRefusal::Exists(noun_from_wire(*noun)?),
        Kind::NotFound(noun) => PrincipalRefusal::NotFound(noun_from_wire(*noun)?),
        Kind::Limit(bound) => PrincipalRefusal::Limit(bound_from_wire(*bound)?),
        Kind::InUse(noun) => PrincipalRefusal::InUse(noun_from_wire(*noun)?),
        Kind::Changed(_) => PrincipalRefusal::Changed,
    })
}

fn noun_to_wire(noun: Noun) -> i32 {
    match noun {
        Noun::Account => wire::Noun::Account,
        Noun::User => wire::Noun::User,
        Noun::Group => wire::Noun::Group,
        Noun::Role => wire::Noun::Role,
        Noun::Policy => wire::Noun::Policy,
        Noun::AccessKey => wire::Noun::AccessKey,
        Noun::RobotToken => wire::Noun::RobotToken,
        Noun::Password => wire::Noun::Password,
    }
    .into()
}

fn noun_from_wire(number: i32) -> Option<Noun> {
    Some(match wire::Noun::try_from(number).ok()? {
        wire::Noun::Account => Noun::Account,
        wire::Noun::User => Noun::User,
        wire::Noun::Group => Noun::Group,
        wire::Noun::Role => Noun::Role,
        wire::Noun::Policy => Noun::Policy,
        wire::Noun::AccessKey => Noun::AccessKey,
        wire::Noun::RobotToken => Noun::RobotToken,
        wire::Noun::Password => Noun::Password,
        wire::Noun::Unspecified => return None,
    })
}

fn bound_to_wire(bound: Bound) -> i32 {
    match bound {
        Bound::Text => wire::Bound::Text,
        Bound::Users => wire::Bound::Users,
        Bound::Groups => wire::Bound::Groups,
        Bound::Roles => wire::Bound::Roles,
        Bound::GroupsOfUser => wire::Bound::GroupsOfUser,
        Bound::Policies => wire::Bound::Policies,
        Bound::PolicyBytes => wire::Bound::PolicyBytes,
        Bound::TrustPolicyBytes => wire::Bound::TrustPolicyBytes,
        Bound::SessionSeconds => wire::Bound::SessionSeconds,
        Bound::AccessKeys => wire::Bound::AccessKeys,
        Bound::RobotTokens => wire::Bound::RobotTokens,
        Bound::RobotTokensOfOwner => wire::Bound::RobotTokensOfOwner,
        Bound::TokenPolicyBytes => wire::Bound::TokenPolicyBytes,
        Bound::Revoked => wire::Bound::RevokedAuthorizations,
    }
    .into()
}

fn bound_from_wire(number: i32) -> Option<Bound> {
    Some(match wire::Bound::try_from(number).ok()? {
        wire::Bound::Text => Bound::Text,
        wire::Bound::Users => Bound::Users,
        wire::Bound::Groups => Bound::Groups,
        wire::Bound::Roles => Bound::Roles,
        wire::Bound::GroupsOfUser => Bound::GroupsOfUser,
        wire::Bound::Policies => Bound::Policies,
        wire::Bound::PolicyBytes => Bound::PolicyBytes,
        wire::Bound::TrustPolicyBytes => Bound::TrustPolicyBytes,
        wire::Bound::SessionSeconds => Bound::SessionSeconds,
        wire::Bound::AccessKeys => Bound::AccessKeys,
        wire::Bound::RobotTokens => Bound::RobotTokens,
        wire::Bound::RobotTokensOfOwner => Bound::RobotTokensOfOwner,
        wire::Bound::TokenPolicyBytes => Bound::TokenPolicyBytes,
        wire::Bound::RevokedAuthorizations => Bound::Revoked,
        wire::Bound::Unspecified => return None,
    })
}

pub(super) fn sizes(blobs: &[(Digest, u64)]) -> wire::SizedDigests {
    let blob = |(digest, size): &(Digest, u64)| wire::SizedDigest { digest: digest.to_bytes(), size: *size };
    wire::SizedDigests { blobs: blobs.iter().map(blob).collect() }
}

fn nodes(nodes: &[NodeId]) -> wire::Copies {
    wire::Copies { nodes: nodes.iter().map(|node| node.get()).collect() }
}

fn from_wire(kind: Kind) -> Option<Response> {
    Some(match kind {
        Kind::ClusterInitialized(_) => Response::ClusterInitialized,
        Kind::AlreadyInitialized(found) => Response::AlreadyInitialized {
            cluster_id: found.cluster_id.try_into().ok()?,
            registry: RegistryId { account: found.account.parse().ok()?, region: found.region.parse().ok()? },
        },
        Kind::NodeKeyRegistered(_) => Response::NodeKeyRegistered,
        Kind::BlobLinked(bytes) => Response::BlobLinked { generation: UploadId::from_bytes(&bytes)? },
        Kind::StagingExpired(_) => Response::StagingExpired,
        Kind::Mounted(size) => Response::Mounted { size },
        Kind::NotMounted(_) => Response::NotMounted,
        Kind::LeaseRenewed(until_ms) => Response::LeaseRenewed { until_ms },
        Kind::Unlinked(_) => Response::Unlinked,
        Kind::InUse(_) => Response::InUse,
        Kind::Dropped(_) => Response::Dropped,
        Kind::Kept(_) => Response::Kept,
        Kind::ManifestStored(stored) => {
            Response::ManifestStored { created: stored.created, index: stored.index }
        }
        Kind::MissingBlobs(blobs) => {
            Response::MissingBlobs(sizes_from_wire(&blobs)?.into_iter().map(|(digest, _)| digest).collect())
        }
        Kind::SizeMismatch(blobs) => Response::SizeMismatch(sizes_from_wire(&blobs)?),
        Kind::ConditionFailed(failed) => {
            Response::ConditionFailed { current: optional_digest(failed.current)? }
        }
        Kind::Deleted(_) => Response::Deleted,
        Kind::NotFound(_) => Response::NotFound,
        Kind::JoinTokenCreated(_) => Response::JoinTokenCreated,
        Kind::Revoked(_) => Response::Revoked,
        Kind::NodeAdded(node) => Response::NodeAdded { node: NodeId::new(node)? },
        Kind::TokenRefused(refusal) => match wire::TokenRefusal::try_from(refusal).ok()? {
            wire::TokenRefusal::Unknown => Response::TokenRefused(TokenRefusal::Unknown),
            wire::TokenRefusal::Expired => Response::TokenRefused(TokenRefusal::Expired),
            wire::TokenRefusal::Used => Response::TokenRefused(TokenRefusal::Used),
            wire::TokenRefusal::Unspecified => return None,
        },
        Kind::NodeExists(node) => Response::NodeExists { node: NodeId::new(node)? },
        Kind::StaleIncarnation(recorded) => Response::StaleIncarnation { recorded },
        Kind::NodeUpdated(_) => Response::NodeUpdated,
        Kind::NodeRemoved(_) => Response::NodeRemoved,
        Kind::StillNeeded(needed) => Response::StillNeeded { example: optional_digest(needed.example)? },
        Kind::CopiesConfirmed(copies) => Response::CopiesConfirmed { copies: nodes_from_wire(&copies)? },
        Kind::TooFewCopies(few) => Response::TooFewCopies { copies: few.copies, zones: few.zones },
        Kind::VoidReceipts(void) => Response::VoidReceipts(nodes_from_wire(&void)?),
        Kind::NotYet(wire::NotYet { needed, level }) => Response::NotYet { needed, level },
        Kind::LevelRefused(level) => Response::LevelRefused { level },
        Kind::LayoutChanged(version) => Response::LayoutChanged { version },
        Kind::Recounted(recounted) => Response::Recounted { is_done: recounted.done },
        Kind::PrincipalChanged(_) => Response::PrincipalChanged,
        Kind::PrincipalRefused(refused) => Response::PrincipalRefused(principal_from_wire(&refused)?),
        Kind::ImagesDeleted(removed) => Response::ImagesDeleted(image_encoding::removed(&removed)?),
        Kind::ImageChanged(_) => Response::ImageChanged,
        Kind::ImageRefused(refused) => Response::ImageRefused(image_encoding::refusal(refused)?),
        Kind::ImagesIndexed(indexed) => Response::ImagesIndexed { is_done: indexed.done },
        Kind::TagImmutable(tag) => Response::TagImmutable { tag: tag.parse().ok()? },
        Kind::RepositoryChanged(created_ms) => Response::RepositoryChanged { created_ms },
        Kind::RepositoryCleared(cleared) => Response::RepositoryCleared { is_done: cleared.done },
        Kind::DocumentStored(wire::DocumentStored { created_ms, changed_ms }) => {
            Response::DocumentStored { created_ms, changed_ms }
        }
        Kind::RepositoryRefused(refusal) => Response::RepositoryRefused(refusal_from_wire(refusal)?),
    })
}

pub(super) fn sizes_from_wire(wire: &wire::SizedDigests) -> Option<Vec<(Digest, u64)>> {
    wire.blobs.iter().map(|blob| Some((Digest::from_bytes(&blob.digest)?, blob.size))).collect()
}

fn nodes_from_wire(wire: &wire::Copies) -> Option<Vec<NodeId>> {
    wire.nodes.iter().map(|node| NodeId::new(*node)).collect()
}

/// The outer `None`: it makes no sense.
#[expect(clippy::option_option, reason = "absent and senseless are two things")]
fn optional_digest(bytes: Option<Vec<u8>>) -> Option<Option<Digest>> {
    match bytes {
        None => Some(None),
        Some(bytes) => Digest::from_bytes(&bytes).map(Some),
    }
}
