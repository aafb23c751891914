//! One request on its way through a handler: who asks, of which registry, with what input.

use axum::http::header;
use axum::http::request::Parts;
use blobs::BlobStore;
use cluster::StateReader;
use cluster_core::access::{Caller, Resource, Wanted};
use cluster_core::key::RepositoryId;
use cluster_core::state;
use proto::credential::AccessKeyId;
use proto::ecr::{Failure, Input, Name, Operation, Output, PageToken};
use proto::identity::{AccountId, RegistryId};
use proto::name::{RepositoryName, Tag};
use proto::policy::action::ActionName;
use proto::sigv4::SigV4Error;

use super::{Ecr, refused, unread};
use crate::auth::decider::Verdict;
use crate::auth::{Identity, Proof};
use crate::http::public_url::is_host;
use crate::http::registry_host::Came;
use crate::http::server::Connection;
use crate::registry::Registry;
use crate::registry::account_setting::AccountSettings;

/// One request on its way through a handler.
pub(super) struct Call<'a> {
    pub(super) ecr: &'a Ecr,
    pub(super) parts: &'a Parts,
    pub(super) connection: &'a Connection,
    pub(super) caller: Caller,
    /// With which lasting key the request is signed, or its session was bought.
    pub(super) key: Option<AccessKeyId>,
    /// When the session ends that signed it.
    pub(super) ends_ms: Option<u64>,
    /// Of a state no newer than the one in which the caller was known.
    pub(super) index: u64,
    /// Whose the resource is: `registryId`, else the caller's own; in the region of the signature.
    pub(super) registry: RegistryId,
    pub(super) operation: Operation,
    pub(super) input: Input<'a>,
}

impl Call<'_> {
    /// The repository that the request names; refused unless the caller may do to it what the operation is called.
    pub(super) fn repository(&self) -> Result<RepositoryName, Failure> {
        let name = self.input.parse("repositoryName")?;
        self.authorize(&name)?;
        Ok(name)
    }

    pub(super) fn id(&self, name: &RepositoryName) -> RepositoryId {
        RepositoryId { registry: self.registry.clone(), name: name.clone() }
    }

    /// The state as of now, in which the repository exists.
    pub(super) async fn exists(&self, name: &RepositoryName) -> Result<StateReader, Failure> {
        let reader = self.ecr.api.registry.metadata.read().await.map_err(unread)?;
        let found = state::repository::repository(&reader, &self.id(name));
        match found.map_err(|error| unread(error.into()))? {
            Some(_) => Ok(reader),
            None => Err(Failure::repository_not_found(name, &self.registry.account)),
        }
    }

    /// What is switched on in the registry.
    pub(super) fn account_settings(&self) -> Result<AccountSettings, Failure> {
        let reader = self.use_cases().metadata.local().map_err(unread)?;
        AccountSettings::read(&reader, &self.registry).map_err(|error| unread(error.into()))
    }

    pub(super) fn use_cases(&self) -> &Registry {
        &self.ecr.api.registry
    }

    /// Pages of this operation in this registry, told apart by what else is asked.
    pub(super) fn pages<'c>(&'c self, filter: &'c [&'c str]) -> PageToken<'c> {
        PageToken { registry: &self.registry, operation: self.operation, filter }
    }

    /// How many items a page is to have; `page` if the request does not say.
    pub(super) fn limit(&self, page: i64) -> usize {
        usize::try_from(self.input.integer_if("maxResults").unwrap_or(page)).unwrap_or(1)
    }

    pub(super) fn blobs(&self) -> &BlobStore {
        &self.ecr.api.registry.blobs
    }

    /// An answer that begins with the registry.
    pub(super) fn of_registry(&self) -> Output {
        Output::new().with("registryId", self.registry.account.as_str())
    }

    /// An answer that begins with the repository, as many do.
    pub(super) fn about(&self, name: &RepositoryName) -> Output {
        self.of_registry().with("repositoryName", name.as_str())
    }

    /// Where the client reaches this node, as it was configured, or as the request says, whose host is signed.
    pub(super) fn endpoint(&self) -> Result<String, Failure> {
        Ok(self.ecr.api.hosts.url(self.came()?))
    }

    /// Where clients reach the registry of `account` in the region of the signature.
    pub(super) fn registry_url(&self, account: &AccountId) -> Result<String, Failure> {
        let registry = RegistryId { account: account.clone(), region: self.registry.region.clone() };
        let api = &self.ecr.api;
        Ok(api.hosts.url_of(&registry, &api.facts.default_registry, self.came()?))
    }

    fn came(&self) -> Result<Came<'_>, Failure> {
        let header = self.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = header.or(self.parts.uri.authority().map(|authority| authority.as_str()));
        let host = host.filter(|host| is_host(host)).ok_or_else(Failure::server)?;
        Ok(Came { host, tls: self.connection.tls })
    }

    /// Refuses unless the caller may do what the operation is called to the repository.
    pub(super) fn authorize(&self, name: &RepositoryName) -> Result<(), Failure> {
        self.decide(Resource::Repository(self.id(name)), None)
    }

    /// The same of the image that the tag names, which policies may ask for.
    pub(super) fn authorize_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), Failure> {
        self.decide(Resource::Repository(self.id(name)), Some(tag))
    }

    /// Refuses unless the caller may do it at all: for operations whose resource is `*`.
    pub(super) fn authorize_at_all(&self) -> Result<(), Failure> {
        self.decide(Resource::Registry(self.registry.clone()), None)
    }

    /// Refuses unless the caller may also do this at all: what the operation makes others do (§9.1).
    pub(super) fn authorize_also(&self, action: &str) -> Result<(), Failure> {
        let action: ActionName = action.parse().map_err(|_| Failure::server())?;
        self.decide_on(action, Resource::Registry(self.registry.clone()), None)
    }

    fn decide(&self, resource: Resource, tag: Option<&Tag>) -> Result<(), Failure> {
        // Referrers are read with the right to read images (§9.1).
        let action = match self.operation.name() {
            Name::ListImageReferrers => "ecr:BatchGetImage".to_owned(),
            _ => self.operation.to_string(),
        };
        let action: ActionName = action.parse().map_err(|_| Failure::server())?;
        self.decide_on(action, resource, tag)
    }

    fn decide_on(&self, action: ActionName, resource: Resource, tag: Option<&Tag>) -> Result<(), Failure> {
        let identity = Identity::of(self.caller.clone(), Proof::Key);
        let named = resource.named_for(&action);
        let wanted = Wanted::operation(action.clone(), resource);
        let wanted = match tag {
            Some(tag) => wanted.of_tag(tag.clone()),
            None => wanted,
        };
        let api = &self.ecr.api;
        let reader = api.registry.metadata.local().map_err(unread)?;
        let verdict = api.decider.authorize(&reader, &identity, self.connection.into(), &wanted);
        match verdict.map_err(|error| unread(error.into()))? {
            Verdict::Allowed => Ok(()),
            // Whose key it was is nobody any more.
            Verdict::LoginNeeded => Err(refused(SigV4Error::Unrecognized)),
            Verdict::InsufficientScope | Verdict::Denied => {
                Err(Failure::access_denied(&self.caller, &action, named.as_str()))
            }
        }
    }
}
