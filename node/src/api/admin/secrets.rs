//! `/api/v1/secrets`: the keys that encrypt secrets, and their rotation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cluster::StateReader;
use cluster_core::access::Action;
use cluster_core::command::{Command, PrincipalCommand, PrincipalRefusal, Response};
use cluster_core::record::AccessKeyRecord;
use cluster_core::state::principal::access_key;
use proto::admin::secrets::{Rotated, SecretKey, SecretKeys};
use proto::credential::AccessKeyId;

use super::problem::Refusal;
use super::{Admin, AdminRequest};
use crate::adapters::secrets::SecretsError;
use crate::auth::keyring::KeyringError;

/// Access keys that are looked at together.
const PAGE: usize = 500;
/// How often a rotation looks whether a secret is left.
const PASSES: usize = 5;

/// `GET`: which keys this node has, and what of the state they encrypt.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<SecretKeys>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    each(&admin, |_, record| *counts.entry(record.sealed.by).or_default() += 1)?;
    // One that another node made, which this one did not need yet, is told of as well.
    let mut numbers = admin.secrets.numbers();
    numbers.reverse();
    let unknown: Vec<u32> = counts.keys().copied().filter(|number| !numbers.contains(number)).collect();
    let key = |number: u32| SecretKey {
        key: format!("{number:08x}"),
        access_keys: counts.get(&number).copied().unwrap_or(0),
    };
    Ok(Json(SecretKeys { keys: unknown.into_iter().chain(numbers).map(key).collect() }))
}

/// `POST`: makes a key that most voters have, and encrypts all secrets of access keys with it. A crash in between leaves
/// some with the old one, which every node still has; a second call ends that, and makes no other key.
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Rotated>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    drop(admin.metadata.read().await?);
    let begun = admin.secrets.newest().await?;
    let is_new = sealed_by_others(&admin, begun)?.is_empty();
    let number = if is_new { admin.secrets.rotate().await? } else { begun };
    let (mut access_keys, mut damaged) = (0, BTreeSet::new());
    // What another node sealed with the old key meanwhile shows when the state is looked through again.
    for _ in 0..PASSES {
        drop(admin.metadata.read().await?);
        let mut old = sealed_by_others(&admin, number)?;
        old.retain(|(id, _)| !damaged.contains(id));
        if old.is_empty() {
            break;
        }
        for (id, record) in old {
            match admin.secrets.unseal(id.as_str(), &record.sealed).await {
                Ok(secret) => access_keys += u64::from(reseal(&admin, id, &record, &secret).await?),
                Err(SecretsError::Keyring(KeyringError::Damaged | KeyringError::Unknown(_))) => {
                    tracing::warn!(access_key = %id, "secret of an access key cannot be read");
                    damaged.insert(id);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let (key, damaged) = (format!("{number:08x}"), damaged.len() as u64);
    tracing::info!(key, is_new, access_keys, damaged, "key of secrets rotated");
    Ok(Json(Rotated { key, is_new, access_keys, damaged }))
}

fn sealed_by_others(admin: &Admin, number: u32) -> Result<Vec<(AccessKeyId, AccessKeyRecord)>, Refusal> {
    let mut others = Vec::new();
    each(admin, |id, record| {
        if record.sealed.by != number {
            others.push((id, record));
        }
    })?;
    Ok(others)
}

fn each(admin: &Admin, mut see: impl FnMut(AccessKeyId, AccessKeyRecord)) -> Result<(), Refusal> {
    let reader: StateReader = admin.metadata.local()?;
    let mut after = None;
    loop {
        let page = access_key::all(&reader, after.as_ref(), PAGE)?;
        after = page.items.last().map(|(id, _)| id.clone());
        page.items.into_iter().for_each(|(id, record)| see(id, record));
        if !page.more {
            return Ok(());
        }
    }
}

/// Whether it was done: a key that was deleted or encrypted anew meanwhile needs nothing.
async fn reseal(
    admin: &Admin,
    id: AccessKeyId,
    record: &AccessKeyRecord,
    secret: &[u8],
) -> Result<bool, Refusal> {
    let sealed = admin.secrets.seal(id.as_str(), secret).await?;
    let command = PrincipalCommand::ResealAccessKey { id, before_by: record.sealed.by, sealed };
    match admin.propose(Command::Principal(Box::new(command))).await? {
        Response::PrincipalChanged => Ok(true),
        Response::PrincipalRefused(PrincipalRefusal::Changed | PrincipalRefusal::NotFound(_)) => Ok(false),
        Response::PrincipalRefused(refusal) => Err(refusal.into()),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}
