//! Repositories that a push makes: as a creation template says, or with the defaults (ECR specification §11).

use std::collections::BTreeMap;

use cluster::StateReader;
use cluster_core::command::repository::{CreateRepository, RepositoryCommand, RepositoryRefusal};
use cluster_core::command::{Command, Response};
use cluster_core::key::RepositoryId;
use cluster_core::record::{RegistryDocument, RepositoryDocument, RepositorySettings};
use cluster_core::state;
use proto::settings::{CreationTemplate, Scenario};

use super::account_setting::AccountSettings;
use super::{Registry, RegistryError};

/// Repositories of a registry (ECR specification §14).
pub(crate) const MOST_REPOSITORIES: u32 = 100_000;

/// Why a push makes no repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCreated {
    /// In a strict registry no template is meant for such names.
    NoTemplate,
    /// The registry has as many as it may.
    Limit,
}

impl Registry {
    /// Before a push to it: makes the repository if a template says what it is like. Else the push makes it with the
    /// defaults, except in a strict registry. Asks this node's state alone, unless the repository is not there.
    pub(crate) async fn create_on_push(
        &self,
        repository: &RepositoryId,
    ) -> Result<Result<(), NotCreated>, RegistryError> {
        if state::repository::repository(&self.metadata.local()?, repository)?.is_some() {
            return Ok(Ok(()));
        }
        let (template, settings) = {
            let reader = self.metadata.read().await?;
            if state::repository::repository(&reader, repository)?.is_some() {
                return Ok(Ok(()));
            }
            (template(&reader, repository)?, AccountSettings::read(&reader, &repository.registry)?)
        };
        let Some(template) = template else {
            return Ok(if settings.is_strict { Err(NotCreated::NoTemplate) } else { Ok(()) });
        };
        let documents = [
            (RepositoryDocument::Policy, template.repository_policy),
            (RepositoryDocument::LifecyclePolicy, template.lifecycle_policy),
        ];
        let documents: BTreeMap<_, _> =
            documents.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect();
        let settings = RepositorySettings {
            mutability: template.mutability,
            scans_on_push: false,
            encryption: template.encryption,
            tags: template.tags,
        };
        let (repository, most) = (repository.clone(), MOST_REPOSITORIES);
        let create = RepositoryCommand::Create(CreateRepository { repository, settings, documents, most });
        match self.metadata.propose(Command::Repository(Box::new(create))).await? {
            Response::RepositoryChanged { .. } | Response::RepositoryRefused(RepositoryRefusal::Exists) => {
                Ok(Ok(()))
            }
            Response::RepositoryRefused(RepositoryRefusal::Limit) => Ok(Err(NotCreated::Limit)),
            _ => Err(RegistryError::Unexpected),
        }
    }
}

/// The one that counts for repositories of such a name that a push makes.
fn template(
    reader: &StateReader,
    repository: &RepositoryId,
) -> Result<Option<CreationTemplate>, RegistryError> {
    for id in CreationTemplate::ids_for(&repository.name) {
        let kind = RegistryDocument::CreationTemplate;
        let Some(stored) = state::document::document(reader, &repository.registry, kind, &id)? else {
            continue;
        };
        if let Some(template) = CreationTemplate::read(&stored.text, Scenario::CreateOnPush)? {
            return Ok(Some(template));
        }
    }
    Ok(None)
}
