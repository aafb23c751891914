//! Whether a caller may do something, by this node's state.
//!
//! Owns what a decision is made of: the caller's policies, those of the resource, and what of the request policies may
//! ask for (ECR specification §9). How these combine is `cluster_core::access`'s. Never waits, and holds nothing across
//! requests but parsed policies.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cluster_core::access::policy::Attached;
use cluster_core::access::{Caller, Context, Decision, Facts, Policies, Request, Resource, Wanted, decide};
use cluster_core::record::EntityKind;
use cluster_core::state::principal::{identity, policy};
use cluster_core::state::{self, StateResult};
use cluster_core::view::View;
use proto::admin::audit::Entry;
use proto::policy::Kind;
use proto::policy::key::ConditionKey;

use super::policies::{Parsed, Place, PolicyCache};
use super::{Identity, Proof, robot};
use crate::telemetry::audit::Audit;
use crate::telemetry::log;
use crate::telemetry::request_id::RequestId;

/// Whether somebody may do something, as HTTP tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes.
    Allowed,
    /// Not without a login, or who it was is nobody any more: 401.
    LoginNeeded,
    /// Not with this token, but another one would do: 401.
    InsufficientScope,
    /// No: 403.
    Denied,
}

/// The client's end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Where it is.
    pub(crate) address: IpAddr,
    /// Whether it talks TLS.
    pub(crate) tls: bool,
    /// What the request is called.
    pub(crate) request: RequestId,
}

impl Client {
    /// What policies may ask for, beside what follows from who asks.
    fn context(self, caller: &Caller, wanted: &Wanted) -> Context {
        let (mut context, now) = (Context::default(), SystemTime::now());
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        context.insert(ConditionKey::CurrentTime, humantime::format_rfc3339_seconds(now).to_string());
        context.insert(ConditionKey::EpochTime, seconds.to_string());
        context.insert(ConditionKey::SecureTransport, self.tls.to_string());
        // As policies write it: an address of IPv4 that came in one of IPv6 is the former.
        context.insert(ConditionKey::SourceIp, self.address.to_canonical().to_string());
        if let Caller::Root(account) = caller {
            context.insert(ConditionKey::UserId, account.to_string());
        }
        if let Some(tag) = wanted.tag() {
            context.insert(ConditionKey::ImageTag, tag.to_string());
        }
        context
    }
}

/// Characters of a detail that are noted.
const MOST_DETAIL: usize = 256;

/// Decides on requests.
pub(crate) struct Decider {
    facts: Facts,
    policies: PolicyCache,
    audit: Arc<Audit>,
}

/// All policies that bear on a request, held while it is decided on.
struct Gathered {
    caller: Vec<Arc<Parsed>>,
    session: Option<Arc<Parsed>>,
    repository: Option<Arc<Parsed>>,
    registry: Option<Arc<Parsed>>,
    trust: Option<Arc<Parsed>>,
}

impl Decider {
    /// By what the operator decided beside all policies; decisions are noted in `audit`.
    pub(crate) fn new(facts: Facts, audit: Arc<Audit>) -> Self {
        Self { facts, policies: PolicyCache::default(), audit }
    }

    /// Whether the request may go on. Denials, and what is allowed and changes something, are noted here and nowhere
    /// else; that somebody must log in first, or with another scope, is how clients begin.
    pub(crate) fn authorize<V: View>(
        &self,
        view: &V,
        identity: &Identity,
        client: Client,
        wanted: &Wanted,
    ) -> StateResult<Verdict, V> {
        let mut reason = String::new();
        let verdict = self.judge(view, identity, client, wanted, |decision| {
            if !decision.is_allowed() || wanted.changes() {
                reason = decision.to_string();
            }
        })?;
        let is_allowed = verdict == Verdict::Allowed;
        if let Some(action) =
            wanted.name().filter(|_| verdict == Verdict::Denied || is_allowed && wanted.changes())
        {
            self.audit.note(&Entry {
                time_ms: log::now_ms(),
                principal: identity.caller.to_string(),
                source: client.address.to_string(),
                action: action.to_string(),
                resource: wanted.resource().named_for(action).as_str().to_owned(),
                tag: wanted.tag().map(ToString::to_string),
                detail: wanted.detail().map(|detail| detail.chars().take(MOST_DETAIL).collect()),
                is_allowed,
                reason,
                request_id: client.request.to_string(),
            });
        }
        Ok(verdict)
    }

    /// Whether they might: a question on the way, whose no is no refusal.
    pub(crate) fn may<V: View>(
        &self,
        view: &V,
        identity: &Identity,
        client: Client,
        wanted: &Wanted,
    ) -> StateResult<Verdict, V> {
        self.judge(view, identity, client, wanted, |_| {})
    }

    /// What would be decided on a request of `caller` with this context, and why; `None`: there is nobody of the name.
    pub(crate) fn explain<V: View>(
        &self,
        view: &V,
        caller: Caller,
        wanted: &Wanted,
        context: Context,
    ) -> StateResult<Option<(bool, String)>, V> {
        let identity = Identity::of(caller, Proof::Nothing);
        let explained = |decision: &Decision<'_>| (decision.is_allowed(), decision.to_string());
        self.decided(view, &identity, context, wanted, explained)
    }

    /// The decision, narrowed by the token. A token never leaves less than nobody has.
    fn judge<V: View>(
        &self,
        view: &V,
        identity: &Identity,
        client: Client,
        wanted: &Wanted,
        told: impl FnOnce(&Decision<'_>),
    ) -> StateResult<Verdict, V> {
        let context = client.context(&identity.caller, wanted);
        let is_allowed = self.decided(view, identity, context, wanted, |decision| {
            told(decision);
            decision.is_allowed()
        })?;
        match is_allowed {
            None => return Ok(Verdict::LoginNeeded),
            Some(false) if identity.caller == Caller::Anonymous => return Ok(Verdict::LoginNeeded),
            Some(false) => return Ok(Verdict::Denied),
            Some(true) => {}
        }
        if identity.covers(wanted) {
            return Ok(Verdict::Allowed);
        }
        match self.may(view, &Identity::ANONYMOUS, client, wanted)? {
            Verdict::Allowed => Ok(Verdict::Allowed),
            _ => Ok(Verdict::InsufficientScope),
        }
    }

    /// What `told` makes of the decision; `None` if the caller is not there any more.
    fn decided<V: View, T>(
        &self,
        view: &V,
        identity: &Identity,
        mut context: Context,
        wanted: &Wanted,
        told: impl FnOnce(&Decision<'_>) -> T,
    ) -> StateResult<Option<T>, V> {
        let Some(gathered) = self.gather(view, identity, wanted.resource())? else { return Ok(None) };
        if let Resource::Repository(id) = wanted.resource()
            && let Some(repository) = state::repository::repository(view, id)?
        {
            for (key, value) in repository.settings.tags {
                context.insert(ConditionKey::ResourceTag(key.to_string()), value.to_string());
            }
        }
        let of_caller = gathered.of_caller();
        let request = Request { caller: &identity.caller, wanted, context: &context };
        Ok(Some(told(&decide(&request, &self.facts, &gathered.with(&of_caller)))))
    }

    /// `None` if the caller, or the robot token that it came with, is not there any more.
    fn gather<V: View>(
        &self,
        view: &V,
        asking: &Identity,
        resource: &Resource,
    ) -> StateResult<Option<Gathered>, V> {
        let Some(known) = identity::identity(view, &asking.caller)? else { return Ok(None) };
        let mut caller = Vec::new();
        for source in known.sources.into_iter().filter(|source| source.policies > 0) {
            let place = Place::Entity(source.entity.clone());
            let read = || {
                let texts = policy::policies(view, &source.entity)?;
                Ok(texts.into_iter().map(|(name, text)| (name.to_string(), text)).collect())
            };
            caller.push(self.policies.get(place, source.version, Kind::Identity, read)?);
        }
        let mut session = None;
        if let Proof::Robot(id) = asking.proof {
            let Some(record) = robot::alive(view, &id)? else { return Ok(None) };
            if let Some(text) = record.policy {
                let read = || Ok(vec![(record.name, text)]);
                let place = Place::Robot(id);
                session = Some(self.policies.get(place, record.created_ms, Kind::Identity, read)?);
            }
        }
        let registry = match resource.registry() {
            Some(registry) => self.policies.of_registry(view, registry)?,
            None => None,
        };
        let repository = match resource {
            Resource::Repository(repository) => self.policies.of_repository(view, repository)?,
            _ => None,
        };
        let trust = match resource {
            Resource::Entity(role) if role.kind == EntityKind::Role => self.policies.of_role(view, role)?,
            _ => None,
        };
        Ok(Some(Gathered { caller, session, repository, registry, trust }))
    }
}

impl Gathered {
    fn of_caller(&self) -> Vec<Attached<'_>> {
        self.caller.iter().flat_map(|parsed| parsed.attached()).collect()
    }

    fn with<'p>(&'p self, identity: &'p [Attached<'p>]) -> Policies<'p> {
        let only = |parsed: &'p Option<Arc<Parsed>>| parsed.as_ref().and_then(|parsed| parsed.only());
        Policies {
            identity,
            session: only(&self.session),
            repository: only(&self.repository),
            registry: only(&self.registry),
            trust: only(&self.trust),
        }
    }
}

#[cfg(test)]
#[path = "decider_test.rs"]
mod tests;
