//! What can be asked for, whatever dialect asks: each with the action of a policy that allows it, and the verb of a
//! Docker token that covers it (ECR specification §9.1).

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Use the API at all (`GET /v2/`): everybody who is somebody may.
    Connect,
    /// List repositories.
    ListCatalog,
    /// List tags.
    ListTags,
    /// List the referrers of a manifest.
    ListReferrers,
    /// Read a manifest, or learn whether it is there.
    ReadManifest,
    /// Read a blob.
    ReadBlob,
    /// Learn whether a blob is there.
    StatBlob,
    /// Begin an upload, or mount a blob.
    StartUpload,
    /// Send bytes of an upload, ask how far it is, or give it up.
    WriteUpload,
    /// Make a blob of an upload.
    FinishUpload,
    /// Store a manifest, move tags.
    PutManifest,
    /// Delete a manifest or a tag.
    DeleteManifest,
    /// Delete a blob.
    DeleteBlob,
    /// Read the node's metrics and the cluster's status.
    ReadMetrics,
    /// Read what was decided.
    ReadAudit,
    /// Take in, drain and remove nodes.
    ManageCluster,
}

/// The words of Docker's token scopes (distribution: docs/spec/auth/scope.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read what is in a repository.
    Pull,
    /// Write into it.
    Push,
    /// Delete from it.
    Delete,
    /// List repositories.
    Catalog,
}

impl Action {
    /// All.
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::ListCatalog,
        Self::ListTags,
        Self::ListReferrers,
        Self::ReadManifest,
        Self::ReadBlob,
        Self::StatBlob,
        Self::StartUpload,
        Self::WriteUpload,
        Self::FinishUpload,
        Self::PutManifest,
        Self::DeleteManifest,
        Self::DeleteBlob,
        Self::ReadMetrics,
        Self::ReadAudit,
        Self::ManageCluster,
    ];

    /// The verb that covers it in a token; none covers what a token cannot be asked for.
    pub fn verb(self) -> Option<Verb> {
        match self {
            Self::Connect | Self::ReadMetrics | Self::ReadAudit | Self::ManageCluster => None,
            Self::ListCatalog => Some(Verb::Catalog),
            Self::ListTags | Self::ListReferrers | Self::ReadManifest | Self::ReadBlob | Self::StatBlob => {
                Some(Verb::Pull)
            }
            Self::StartUpload | Self::WriteUpload | Self::FinishUpload | Self::PutManifest => {
                Some(Verb::Push)
            }
            Self::DeleteManifest | Self::DeleteBlob => Some(Verb::Delete),
        }
    }

    /// The actions of policies of which one must be allowed; the first is the call's own, the others are taken for it.
    /// Blobs are no images: who may delete images may delete them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Connect => &[],
            Self::ListCatalog => &["ecr:DescribeRepositories"],
            Self::ListTags => &["ecr:ListImages"],
            Self::ListReferrers | Self::ReadManifest => &["ecr:BatchGetImage"],
            Self::ReadBlob => &["ecr:GetDownloadUrlForLayer"],
            // Who only pulls asks for it, too.
            Self::StatBlob => &["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"],
            Self::StartUpload => &["ecr:InitiateLayerUpload"],
            Self::WriteUpload => &["ecr:UploadLayerPart"],
            Self::FinishUpload => &["ecr:CompleteLayerUpload"],
            Self::PutManifest => &["ecr:PutImage"],
            Self::DeleteManifest | Self::DeleteBlob => &["ecr:BatchDeleteImage"],
            Self::ReadMetrics => &["shoal:ReadMetrics"],
            Self::ReadAudit => &["shoal:ReadAudit"],
            Self::ManageCluster => &["shoal:ManageCluster"],
        }
    }

    /// Whether it reads the registry.
    pub fn is_read(self) -> bool {
        matches!(self.verb(), Some(Verb::Pull | Verb::Catalog)) || self == Self::Connect
    }
}

impl Verb {
    /// What a token with the verb is good for.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| action.verb() == Some(self))
    }
}

#[cfg(test)]
mod tests {
    use proto::policy::action::ActionName;

    use super::*;

    #[test]
    fn every_action_has_names_that_policies_know() {
        for action in Action::ALL {
            assert_eq!(action.names().is_empty(), action == Action::Connect, "{action:?}");
            for name in action.names() {
                let known: ActionName = name.parse().expect("an action");
                assert_eq!(known.as_str(), *name);
            }
        }
    }

    #[test]
    fn the_documented_set_for_pushes_pushes() {
        // ECR user guide, "Pushing an image": the actions that docker needs.
        let documented = [
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:BatchCheckLayerAvailability",
            "ecr:PutImage",
            "ecr:BatchGetImage",
        ];
        for action in Verb::Push.actions().chain([Action::StatBlob, Action::ReadManifest]) {
            assert!(action.names().iter().any(|name| documented.contains(name)), "{action:?}");
        }
    }
}
