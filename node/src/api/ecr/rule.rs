//! Pull-through cache rules (ECR specification §11): stored and validated; what carries them out comes later. What they
//! have in common with other rules for names that are not there yet.

use cluster_core::command::repository::{DocumentCondition, RepositoryRefusal};
use cluster_core::record::RegistryDocument;
use proto::ecr::{Exception, Failure, Output};
use serde_json::{Map, Value};

use super::call::Call;
use super::document::{self, Key, Stored};

/// Pull-through cache rules of a registry (§14).
const MOST_CACHE_RULES: u32 = 50;
/// Upstream registries by the name that the API gives them, with the host each has; `*` stands for a part of it (§11).
const UPSTREAMS: [(&str, &str); 9] = [
    ("ecr-public", "public.ecr.aws"),
    ("k8s", "registry.k8s.io"),
    ("quay", "quay.io"),
    ("docker-hub", "registry-1.docker.io"),
    ("github-container-registry", "ghcr.io"),
    ("gitlab-container-registry", "registry.gitlab.com"),
    ("azure-container-registry", "*.azurecr.io"),
    ("chainguard", "cgr.dev"),
    ("ecr", "*.dkr.ecr.*"),
];

/// What a request gives beside where it goes and what it is called.
pub(super) fn members(call: &Call<'_>, name: &str) -> Map<String, Value> {
    let Value::Object(mut members) = call.input.to_value() else { return Map::new() };
    members.remove("registryId");
    members.remove(name);
    members
}

pub(super) fn limit_exceeded(most: u32) -> Failure {
    Failure::new(Exception::LimitExceeded, format!("A registry has at most {most} of these"))
}

/// Documents that `member` names, of which missing ones are left out, or a page of all.
pub(super) async fn described(
    call: &Call<'_>,
    kind: RegistryDocument,
    member: &str,
) -> Result<(Vec<(String, Stored)>, Option<String>), Failure> {
    if !call.input.has(member) {
        let (items, next) = document::page(call, kind).await?;
        return Ok((items.into_iter().map(|(id, stored)| (id.to_string(), stored)).collect(), next));
    }
    let mut items = Vec::new();
    for text in call.input.texts(member) {
        let id = text.trim_end_matches('/').parse();
        let id = id.map_err(|error| Failure::invalid_parameter(member, error))?;
        if let Some(stored) = document::get(call, &Key { kind, id }).await? {
            items.push((text.to_owned(), stored));
        }
    }
    Ok((items, None))
}

const PREFIX: &str = "ecrRepositoryPrefix";

fn rule_not_found(call: &Call<'_>, prefix: &str) -> Failure {
    let text = format!(
        "The pull through cache rule with the prefix '{prefix}' does not exist in the registry with id '{}'",
        call.registry.account
    );
    Failure::new(Exception::PullThroughCacheRuleNotFound, text)
}

/// A rule's members, without those that an operation does not answer with.
fn rule(call: &Call<'_>, prefix: &str, stored: &Stored, without: &[&str]) -> Output {
    let kept = stored.members.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    let output = kept.fold(call.of_registry(), |output, (name, value)| output.with(name, value.clone()));
    output.with(PREFIX, prefix)
}

/// Whether it is one part of a host's name.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// The upstream registry that has the host.
fn upstream(host: &str) -> Option<&'static str> {
    let is = |pattern: &str| match pattern.split_once('*') {
        None => pattern == host,
        Some((_, ".azurecr.io")) => host.strip_suffix(".azurecr.io").is_some_and(is_label),
        Some(_) => host.split_once(".dkr.ecr.").is_some_and(|(account, rest)| {
            let region =
                rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"));
            account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && region.is_some_and(is_label)
        }),
    };
    UPSTREAMS.iter().find(|(_, pattern)| is(pattern)).map(|(name, _)| *name)
}

/// `CreatePullThroughCacheRule`.
pub(super) async fn create_cache_rule(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = Key::named(call, RegistryDocument::PullThroughCacheRule, PREFIX)?;
    let host = call.input.text("upstreamRegistryUrl");
    let host = host.strip_prefix("https://").unwrap_or(host).trim_end_matches('/');
    let known = upstream(host)
        .filter(|known| call.input.text_if("upstreamRegistry").is_none_or(|named| named == *known));
    let Some(known) = known else {
        let text = format!("The upstream registry '{host}' is not supported");
        return Err(Failure::new(Exception::UnsupportedUpstreamRegistry, text));
    };
    let mut given = members(call, PREFIX);
    given.insert("upstreamRegistry".to_owned(), known.into());
    let put =
        document::put(call, &key, Value::Object(given), DocumentCondition::Create, MOST_CACHE_RULES).await?;
    let stored = put.map_err(|refusal| match refusal {
        RepositoryRefusal::DocumentExists => {
            let text = format!("There is a pull through cache rule with the prefix '{}' already", key.id);
            Failure::new(Exception::PullThroughCacheRuleAlreadyExists, text)
        }
        RepositoryRefusal::Limit => limit_exceeded(MOST_CACHE_RULES),
        _ => Failure::server(),
    })?;
    Ok(rule(call, key.id.as_str(), &stored, &[]).with_time("createdAt", stored.created_ms))
}

/// `UpdatePullThroughCacheRule`: what is not given stays.
pub(super) async fn update_cache_rule(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = Key::named(call, RegistryDocument::PullThroughCacheRule, PREFIX)?;
    let missing = || rule_not_found(call, key.id.as_str());
    let mut stored = document::get(call, &key).await?.ok_or_else(missing)?;
    stored.members.extend(members(call, PREFIX));
    let members = Value::Object(stored.members);
    let put = document::put(call, &key, members, DocumentCondition::Replace, MOST_CACHE_RULES).await?;
    let stored = put.map_err(|refusal| match refusal {
        RepositoryRefusal::DocumentNotFound => missing(),
        _ => Failure::server(),
    })?;
    let output = rule(call, key.id.as_str(), &stored, &["upstreamRegistry", "upstreamRegistryUrl"]);
    Ok(output.with_time("updatedAt", stored.changed_ms))
}

/// `DeletePullThroughCacheRule`.
pub(super) async fn delete_cache_rule(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = Key::named(call, RegistryDocument::PullThroughCacheRule, PREFIX)?;
    let stored = document::delete(call, &key).await?.ok_or_else(|| rule_not_found(call, key.id.as_str()))?;
    let output = rule(call, key.id.as_str(), &stored, &["upstreamRegistry"]);
    Ok(output.with_time("createdAt", stored.created_ms))
}

/// `DescribePullThroughCacheRules`: those that are named, of which each must exist, or a page of all.
pub(super) async fn describe_cache_rules(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let (items, next) =
        described(call, RegistryDocument::PullThroughCacheRule, "ecrRepositoryPrefixes").await?;
    let missing =
        call.input.texts("ecrRepositoryPrefixes").find(|named| items.iter().all(|(id, _)| id != named));
    if let Some(missing) = missing {
        return Err(rule_not_found(call, missing));
    }
    let rules = items.iter().map(|(id, stored)| {
        rule(call, id, stored, &[])
            .with_time("createdAt", stored.created_ms)
            .with_time("updatedAt", stored.changed_ms)
    });
    Ok(Output::new().with_list("pullThroughCacheRules", rules).with("nextToken", next))
}

/// `ValidatePullThroughCacheRule`: there is nothing yet that could fetch from upstream.
pub(super) async fn validate_cache_rule(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = Key::named(call, RegistryDocument::PullThroughCacheRule, PREFIX)?;
    let stored = document::get(call, &key).await?.ok_or_else(|| rule_not_found(call, key.id.as_str()))?;
    Ok(rule(call, key.id.as_str(), &stored, &["upstreamRegistry"])
        .with("isValid", false)
        .with("failure", "This release does not fetch from upstream registries yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_registries_are_known_by_their_hosts() {
        for (host, name) in [
            ("quay.io", Some("quay")),
            ("registry-1.docker.io", Some("docker-hub")),
            ("team.azurecr.io", Some("azure-container-registry")),
            (".azurecr.io", None),
            ("example.com/x.azurecr.io", None),
            ("u@h:1.azurecr.io", None),
            ("111122223333.dkr.ecr.example.com", None),
            ("11112222333x.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("quay.io.example.com", None),
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", Some("ecr")),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("example.com", None),
        ] {
            assert_eq!(upstream(host), name, "{host}");
        }
    }
}
