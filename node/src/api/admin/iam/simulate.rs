//! What would be decided (IAM: `SimulatePrincipalPolicy`): the same decision as requests get, from the same state.

use std::time::{Duration, UNIX_EPOCH};

use cluster_core::access::{Action, Caller, Context, Resource, Wanted};
use cluster_core::key::RepositoryId;
use cluster_core::record::{Entity, EntityKind};
use proto::admin::iam::Simulated;
use proto::arn::{PrincipalArn, arn_parts};
use proto::identity::{AccountId, RegistryId};
use proto::policy::action::ActionName;
use proto::policy::key::ConditionKey;

use super::{Answer, Desk, Refusal, answer};
use crate::telemetry::log::now_ms;

/// Most values of a context, and bytes of one.
const MOST_VALUES: usize = 100;
const MOST_BYTES: usize = 2048;

pub(super) async fn simulate(
    desk: &Desk<'_>,
    principal: &str,
    action: &str,
    resource: &str,
    context: Vec<(String, String)>,
) -> Answer {
    let caller = caller(principal)?;
    let action: ActionName = action.parse().map_err(Refusal::invalid)?;
    let resource = parse_resource(resource, &desk.account, desk)?;
    let accounts = [caller.account(), Some(resource.account())];
    if accounts.into_iter().flatten().all(|account| *account == desk.account) {
        desk.may("iam:SimulatePrincipalPolicy", Resource::Account(desk.account.clone()))?;
    } else {
        // Shows policies of several accounts.
        let cluster = Resource::Registry(desk.admin.facts.default_registry.clone());
        let wanted = Wanted::call(Action::ManageCluster, cluster);
        desk.admin.decide(desk.identity, desk.connection, &wanted)?;
    }
    let context = parse_context(context)?;
    let reader = desk.admin.metadata.read().await?;
    let wanted = Wanted::operation(action, resource);
    let explained = desk.admin.decider.explain(&reader, caller, &wanted, context)?;
    let (is_allowed, reason) = explained.ok_or(Refusal::NotFound("there is no such principal"))?;
    answer(&Simulated { is_allowed, reason })
}

fn caller(text: &str) -> Result<Caller, Refusal> {
    if text == "*" {
        return Ok(Caller::Anonymous);
    }
    match text.parse().map_err(Refusal::invalid)? {
        PrincipalArn::Root(account) => Ok(Caller::Root(account)),
        PrincipalArn::User(account, name) => Ok(Caller::User(account, name)),
        PrincipalArn::Role(..) | PrincipalArn::Session(..) => {
            Err(Refusal::Invalid("a user, a root, or * for nobody in particular".to_owned()))
        }
    }
}

fn parse_resource(text: &str, account: &AccountId, desk: &Desk<'_>) -> Result<Resource, Refusal> {
    let registry = |account: AccountId, region: &str| {
        let default = &desk.admin.facts.default_registry.region;
        let region = if region.is_empty() { Ok(default.clone()) } else { region.parse() };
        region.map(|region| RegistryId { account, region }).map_err(Refusal::invalid)
    };
    if text == "*" {
        return Ok(Resource::Registry(registry(account.clone(), "")?));
    }
    let unknown =
        || Refusal::Invalid("a resource is *, or the ARN of a repository, user, group or role".to_owned());
    let [_, partition, service, region, account, resource] = arn_parts(text).ok_or_else(unknown)?;
    let account: AccountId = account.parse().map_err(|_| unknown())?;
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let entity = |kind| {
        let name = name.parse().map_err(Refusal::invalid)?;
        Ok(Resource::Entity(Entity { account: account.clone(), kind, name }))
    };
    match (partition, service, kind) {
        ("aws", "ecr" | "ecr-public", "repository") => {
            let name = name.parse().map_err(Refusal::invalid)?;
            Ok(Resource::Repository(RepositoryId { registry: registry(account.clone(), region)?, name }))
        }
        ("aws", "iam", "user") => entity(EntityKind::User),
        ("aws", "iam", "group") => entity(EntityKind::Group),
        ("aws", "iam", "role") => entity(EntityKind::Role),
        _ => Err(unknown()),
    }
}

fn parse_context(values: Vec<(String, String)>) -> Result<Context, Refusal> {
    if values.len() > MOST_VALUES || values.iter().any(|(_, value)| value.len() > MOST_BYTES) {
        return Err(Refusal::Invalid(format!("at most {MOST_VALUES} values of at most {MOST_BYTES} bytes")));
    }
    let (mut context, now) = (Context::default(), now_ms() / 1000);
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now));
    context.insert(ConditionKey::CurrentTime, time.to_string());
    context.insert(ConditionKey::EpochTime, now.to_string());
    for (key, value) in values {
        context.insert(key.parse::<ConditionKey>().map_err(Refusal::invalid)?, value);
    }
    Ok(context)
}
