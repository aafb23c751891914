//! What is set of a registry as a whole: replication, scanning, signing, the account's settings, principals whose pulls
//! are not recorded (ECR specification §10, §12, §13).
//!
//! Replication, scanning and signing are stored and validated; what carries them out comes later.

use cluster_core::command::repository::{DocumentCondition, RepositoryRefusal};
use cluster_core::record::RegistryDocument;
use proto::ecr::{Exception, Failure, Input, Output};
use serde_json::{Value, json};

use super::call::Call;
use super::document::{self, Key};
use crate::registry::account_setting::ACCOUNT_SETTINGS;

/// Unique destinations of a registry (§10).
const MOST_DESTINATIONS: usize = 25;
/// Pull-time exclusions of a registry (§14).
const MOST_EXCLUSIONS: u32 = 100;

/// Stores the only document of a kind.
async fn store(call: &Call<'_>, kind: RegistryDocument, members: Value) -> Result<(), Failure> {
    let put = document::put(call, &Key::only(kind), members, DocumentCondition::Any, 1).await?;
    match put {
        Ok(_) => Ok(()),
        Err(RepositoryRefusal::DocumentTooLong) => {
            Err(Failure::new(Exception::Validation, "The configuration is too long"))
        }
        Err(_) => Err(Failure::server()),
    }
}

/// `DescribeRegistry`.
pub(super) async fn describe(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let stored = document::get(call, &Key::only(RegistryDocument::Replication)).await?;
    let rules = stored.and_then(|stored| stored.members.get("replicationConfiguration").cloned());
    Ok(call.of_registry().with("replicationConfiguration", rules.unwrap_or_else(|| json!({"rules": []}))))
}

/// `PutReplicationConfiguration`.
pub(super) async fn set_replication(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let member = "replicationConfiguration";
    let mut destinations: Vec<(&str, &str)> = Vec::new();
    for rule in call.input.structure(member).structures("rules") {
        let named = rule.structures("destinations");
        destinations.extend(named.map(|one| (one.text("region"), one.text("registryId"))));
    }
    let own = (call.registry.region.as_str(), call.registry.account.as_str());
    if destinations.contains(&own) {
        let reason = "Replication destination cannot be the same as the source registry";
        return Err(Failure::invalid_parameter(member, reason));
    }
    destinations.sort_unstable();
    destinations.dedup();
    if destinations.len() > MOST_DESTINATIONS {
        let text = format!("A registry has at most {MOST_DESTINATIONS} destinations");
        return Err(Failure::new(Exception::Validation, text));
    }
    let value = call.input.value_of(member);
    store(call, RegistryDocument::Replication, json!({member: value})).await?;
    Ok(Output::new().with(member, value))
}

/// `GetRegistryScanningConfiguration`.
pub(super) async fn scanning(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let stored = document::get(call, &Key::only(RegistryDocument::Scanning)).await?;
    let set = stored.map(|stored| Value::Object(stored.members));
    let set = set.unwrap_or_else(|| json!({"scanType": "BASIC", "rules": []}));
    Ok(call.of_registry().with("scanningConfiguration", set))
}

/// `PutRegistryScanningConfiguration`.
pub(super) async fn set_scanning(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let scan_type = call.input.text_if("scanType").unwrap_or("BASIC");
    for rule in call.input.structures("rules") {
        if scan_type == "BASIC" && rule.text("scanFrequency") == "CONTINUOUS_SCAN" {
            let text = "CONTINUOUS_SCAN needs the scan type ENHANCED";
            return Err(Failure::new(Exception::Validation, text));
        }
    }
    let rules = match call.input.value_of("rules") {
        Value::Null => json!([]),
        rules => rules,
    };
    let set = json!({"scanType": scan_type, "rules": rules});
    store(call, RegistryDocument::Scanning, set.clone()).await?;
    Ok(Output::new().with("registryScanningConfiguration", set))
}

/// `PutSigningConfiguration`.
pub(super) async fn set_signing(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let region = format!(":{}:", call.registry.region);
    let elsewhere = |rule: &Input<'_>| !rule.text("signingProfileArn").contains(&region);
    if call.input.structure("signingConfiguration").structures("rules").any(elsewhere) {
        let text = "A signing profile must be of the registry's region";
        return Err(Failure::new(Exception::Validation, text));
    }
    let set = call.input.value_of("signingConfiguration");
    store(call, RegistryDocument::Signing, json!({"signingConfiguration": set})).await?;
    Ok(Output::new().with("signingConfiguration", set))
}

/// `GetSigningConfiguration`.
pub(super) async fn signing(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let stored = document::get(call, &Key::only(RegistryDocument::Signing)).await?;
    Ok(stored.ok_or_else(no_signing)?.output().with("registryId", call.registry.account.as_str()))
}

/// `DeleteSigningConfiguration`.
pub(super) async fn delete_signing(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let stored = document::delete(call, &Key::only(RegistryDocument::Signing)).await?;
    Ok(stored.ok_or_else(no_signing)?.output().with("registryId", call.registry.account.as_str()))
}

fn no_signing() -> Failure {
    Failure::new(Exception::SigningConfigurationNotFound, "The registry has no signing configuration")
}

/// The setting's values; refused if there is no such setting.
fn values_of(name: &str) -> Result<&'static [&'static str], Failure> {
    let found = ACCOUNT_SETTINGS.iter().find(|(known, _)| *known == name);
    let unknown = || Failure::new(Exception::Validation, format!("There is no account setting '{name}'"));
    found.map(|(_, values)| *values).ok_or_else(unknown)
}

/// `GetAccountSetting`.
pub(super) async fn account_setting(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let name = call.input.text("name");
    values_of(name)?;
    let key = Key::named(call, RegistryDocument::AccountSetting, "name")?;
    let stored = document::get(call, &key).await?;
    let value = stored.and_then(|stored| stored.members.get("value").cloned());
    let value = match value {
        Some(value) => value,
        None => Value::from(call.account_settings()?.default_of(name)),
    };
    Ok(Output::new().with("name", name).with("value", value))
}

/// `PutAccountSetting`.
pub(super) async fn set_account_setting(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let (name, value) = (call.input.text("name"), call.input.text("value"));
    if !values_of(name)?.contains(&value) {
        let text = format!("The account setting '{name}' cannot be '{value}'");
        return Err(Failure::new(Exception::Validation, text));
    }
    let key = Key::named(call, RegistryDocument::AccountSetting, "name")?;
    let most = u32::try_from(ACCOUNT_SETTINGS.len()).unwrap_or(u32::MAX);
    let put = document::put(call, &key, json!({"value": value}), DocumentCondition::Any, most).await?;
    put.map_err(|_| Failure::server())?;
    Ok(Output::new().with("name", name).with("value", value))
}

/// `RegisterPullTimeUpdateExclusion`.
pub(super) async fn exclude(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let arn = call.input.text("principalArn");
    let key = Key::named(call, RegistryDocument::PullTimeExclusion, "principalArn")?;
    let put = document::put(call, &key, json!({}), DocumentCondition::Create, MOST_EXCLUSIONS).await?;
    let stored = put.map_err(|refusal| match refusal {
        RepositoryRefusal::DocumentExists => {
            let text = format!("The principal '{arn}' is excluded already");
            Failure::new(Exception::ExclusionAlreadyExists, text)
        }
        RepositoryRefusal::Limit => {
            let text = format!("A registry has at most {MOST_EXCLUSIONS} exclusions");
            Failure::new(Exception::LimitExceeded, text)
        }
        _ => Failure::server(),
    })?;
    Ok(Output::new().with("principalArn", arn).with_time("createdAt", stored.created_ms))
}

/// `DeregisterPullTimeUpdateExclusion`.
pub(super) async fn include(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let arn = call.input.text("principalArn");
    let key = Key::named(call, RegistryDocument::PullTimeExclusion, "principalArn")?;
    match document::delete(call, &key).await? {
        Some(_) => Ok(Output::new().with("principalArn", arn)),
        None => {
            let text = format!("The principal '{arn}' is not excluded");
            Err(Failure::new(Exception::ExclusionNotFound, text))
        }
    }
}

/// `ListPullTimeUpdateExclusions`.
pub(super) async fn exclusions(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let (items, next) = document::page(call, RegistryDocument::PullTimeExclusion).await?;
    let arns: Vec<Value> = items.iter().map(|(id, _)| Value::from(id.as_str())).collect();
    Ok(Output::new().with("pullTimeUpdateExclusions", arns).with("nextToken", next))
}
