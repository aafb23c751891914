//! `/api/v1/secrets`: the keys that encrypt secrets, and their rotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::Json;
use cluster::StateReader;
use cluster_core::access::Action;
use cluster_core::command::{Command, PrincipalCommand, PrincipalRefusal, Response};
use cluster_core::record::AccessKeyRecord;
use cluster_core::state::principal::access_key;
use proto::admin::secrets::{Rotated, SecretKey, SecretKeys};
use proto::credential::AccessKeyId;

use super::{Admin, AdminRequest};
use super::problem::Refusal;

/// Access keys that are looked at together.
const PAGE: usize = 500;

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
/// some with the old one, which every node still has; a second call ends it.
pub(super) async fn rotate(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Rotated>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let number = admin.secrets.rotate().await?;
    // What was made by the old key until now is in the state that is read after this.
    drop(admin.metadata.read().await?);
    let mut old = Vec::new();
    each(&admin, |id, record| {
        if record.sealed.by != number {
            old.push((id, record));
        }
    })?;
    let mut access_keys = 0;
    for (id, record) in old {
        access_keys += u64::from(reseal(&admin, id, record).await?);
    }
    tracing::info!(key = format!("{number:08x}"), access_keys, "key of secrets rotated");
    Ok(Json(Rotated { key: format!("{number:08x}"), access_keys }))
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
async fn reseal(admin: &Admin, id: AccessKeyId, record: AccessKeyRecord) -> Result<bool, Refusal> {
    let secret = admin.secrets.unseal(id.as_str(), &record.sealed).await?;
    let sealed = admin.secrets.seal(id.as_str(), &secret).await?;
    let command = PrincipalCommand::ResealAccessKey { id, before_by: record.sealed.by, sealed };
    match admin.propose(Command::Principal(Box::new(command))).await? {
        Response::PrincipalChanged => Ok(true),
        Response::PrincipalRefused(PrincipalRefusal::Changed | PrincipalRefusal::NotFound(_)) => Ok(false),
        Response::PrincipalRefused(refusal) => Err(refusal.into()),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}
