//! STS: GetCallerIdentity, AssumeRole, GetSessionToken (STS API, 2011-06-15): what SDKs and Terraform begin with.
//!
//! Owns the query protocol, a form in and XML out, on the same path and with the same signatures as ECR's.

mod query;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use cluster_core::access::{Caller, Resource, Wanted};
use cluster_core::record::{Entity, EntityKind, RoleRecord};
use cluster_core::state::principal::{role, user};
use proto::arn::{PrincipalArn, SessionName};
use proto::digest::{Algorithm, Digest};
use proto::sigv4::{self, SigV4Error};

use super::session::{self, Credentials};
use super::signature::{Signatory, SignatureError};
use super::{Ecr, as_signed};
use crate::api::body::read_all;
use crate::auth::decider::Verdict;
use crate::auth::{Identity, Proof};
use crate::http::server::Connection;
pub(super) use query::is_query;
use query::{Fault, Form, element, render};

/// Most bytes of a form.
const MAX_FORM: usize = 64 << 10;
const VERSION: &str = "2011-06-15";
/// Bounds of sessions in seconds (STS API): those of a role if nothing is said, of a role from a role, of a
/// user, of a user if nothing is said, of root.
const ROLE_DEFAULT: u64 = 3600;
const CHAINED_MOST: u64 = 3600;
const USER_MOST: u64 = 129_600;
const USER_DEFAULT: u64 = 43_200;
const ROOT_MOST: u64 = 3600;

/// Answers it, whatever it is.
pub(super) async fn answer(ecr: &Ecr, parts: &Parts, body: Body) -> Response {
    let known = parts.extensions.get::<Connection>();
    let id = known.map(|known| known.request.to_string()).unwrap_or_default();
    render(&id, handle(ecr, parts, body).await)
}

async fn handle(ecr: &Ecr, parts: &Parts, body: Body) -> Result<(&'static str, String), Fault> {
    let connection = parts.extensions.get::<Connection>().ok_or_else(Fault::server)?;
    let signed = as_signed(parts, sigv4::Signed::parse).inspect_err(|_| {
        ecr.api.metrics.refused_logins.inc();
    })?;
    let body: Bytes = read_all(body, MAX_FORM)
        .await
        .map_err(|_| Fault::invalid("the form is too long or did not come whole"))?;
    let hash = Digest::of(Algorithm::Sha256, &body);
    // What is bought here counts at every node for hours: not by what a node knows that was cut off.
    ecr.api.registry.metadata.read().await.map_err(|error| Fault::unavailable(&error))?;
    let signatory = ecr.signed.signatures.signatory(&signed, &hash).await.inspect_err(|error| {
        if matches!(error, SignatureError::Refused(_)) {
            ecr.api.metrics.refused_logins.inc();
        }
    })?;
    if signatory.scope.service.as_str() != "sts" {
        return Err(SigV4Error::Invalid(sigv4::Invalid::Scope).into());
    }
    let form = Form::parse(&body);
    let is_ours = form.get("Version") == Some(VERSION);
    match form.get("Action").filter(|_| is_ours) {
        Some("GetCallerIdentity") => Ok(("GetCallerIdentity", caller_identity(ecr, &signatory.caller)?)),
        Some("AssumeRole") => Ok(("AssumeRole", assume_role(ecr, connection, &signatory, &form).await?)),
        Some("GetSessionToken") => Ok(("GetSessionToken", session_token(ecr, &signatory, &form).await?)),
        _ => {
            let message = "Could not find operation for the given Action and Version";
            Err(Fault(StatusCode::BAD_REQUEST, "InvalidAction", message.to_owned()))
        }
    }
}

/// Everybody may ask who they are.
fn caller_identity(ecr: &Ecr, caller: &Caller) -> Result<String, Fault> {
    let reader = ecr.api.registry.metadata.local().map_err(|error| Fault::unavailable(&error))?;
    let account = caller.account().ok_or_else(Fault::server)?;
    let unread = |error: cluster_core::state::StateError<_>| Fault::unavailable(&error);
    let id = match caller {
        Caller::User(account, name) => {
            let record = user::user(&reader, account, name).map_err(unread)?;
            unique_id("AIDA", caller, record.map_or(0, |record| record.head.created_ms))
        }
        Caller::Session { role, name, .. } => {
            let entity = Entity { account: account.clone(), kind: EntityKind::Role, name: role.clone() };
            format!("{}:{}", role_id(&entity, &existing(ecr, &entity)?), session_of(name))
        }
        _ => account.to_string(),
    };
    Ok([element("Arn", &caller.to_string()), element("UserId", &id), element("Account", account.as_str())]
        .concat())
}

/// An id that nobody else has, whoever takes the name later (IAM user guide, "Unique identifiers").
fn unique_id(prefix: &str, name: impl std::fmt::Display, created_ms: u64) -> String {
    let hash = Digest::of(Algorithm::Sha256, format!("{name} {created_ms}").as_bytes());
    format!("{prefix}{}", hash.hex()[..16].to_ascii_uppercase())
}

fn role_id(role: &Entity, record: &RoleRecord) -> String {
    unique_id("AROA", role.arn(), record.head.created_ms)
}

fn session_of(name: &SessionName) -> &str {
    name.as_str().split_once('/').map_or("", |(_, session)| session)
}

fn existing(ecr: &Ecr, entity: &Entity) -> Result<RoleRecord, Fault> {
    let reader = ecr.api.registry.metadata.local().map_err(|error| Fault::unavailable(&error))?;
    let record = role::role(&reader, &entity.account, &entity.name);
    record.map_err(|error| Fault::unavailable(&error))?.ok_or_else(Fault::server)
}

async fn assume_role(
    ecr: &Ecr,
    connection: &Connection,
    signatory: &Signatory,
    form: &Form,
) -> Result<String, Fault> {
    form.refuse_narrowing()?;
    let arn = form.needed("RoleArn")?;
    let Ok(PrincipalArn::Role(account, name)) = arn.parse() else {
        return Err(Fault::invalid(format!("{} is invalid", shorten(arn))));
    };
    let session = form.needed("RoleSessionName")?;
    let session_name = SessionName::new(&name, session).ok().filter(|_| session.len() >= 2);
    let session_name = session_name
        .ok_or_else(|| Fault::invalid("RoleSessionName must have 2 to 64 letters, digits and +=,.@_-"))?;
    let entity = Entity { account, kind: EntityKind::Role, name };
    let caller = &signatory.caller;
    let denied = || Fault::denied(caller, "sts:AssumeRole", arn);
    // A root becomes nobody else (STS API, AssumeRole).
    if caller.is_root() {
        return Err(denied());
    }
    let wanted = "sts:AssumeRole".parse().map_err(|_| Fault::server())?;
    let wanted = Wanted::operation(wanted, Resource::Entity(entity.clone()));
    let identity = Identity::of(caller.clone(), Proof::Key);
    // Of the role's sessions: not of a state that is newer than what its trust policy is read from.
    let index = ecr.api.registry.metadata.applied_index();
    let reader = ecr.api.registry.metadata.local().map_err(|error| Fault::unavailable(&error))?;
    // Of a role that is not there nothing more is told: nobody trusts it.
    let record =
        role::role(&reader, &entity.account, &entity.name).map_err(|error| Fault::unavailable(&error))?;
    let verdict = ecr.api.decider.authorize(&reader, &identity, connection.into(), &wanted);
    let verdict = verdict.map_err(|error| Fault::unavailable(&error))?;
    let record = record.filter(|_| verdict == Verdict::Allowed).ok_or_else(denied)?;
    let most = u64::from(record.max_session_seconds);
    let most = if matches!(caller, Caller::Session { .. }) { most.min(CHAINED_MOST) } else { most };
    let seconds = form.seconds(ROLE_DEFAULT, most)?;
    let id = format!("{}:{session}", role_id(&entity, &record));
    let Entity { account, name: role, .. } = entity;
    let assumed = Caller::Session { account, role, name: session_name };
    let made = session::issue(&ecr.signed.secrets, &assumed, None, seconds, index).await;
    let credentials = made.map_err(|error| Fault::unavailable(&error))?;
    let user = [element("AssumedRoleId", &id), element("Arn", &assumed.to_string())].concat();
    Ok(format!("<AssumedRoleUser>{user}</AssumedRoleUser>{}", show(&credentials)))
}

/// The caller's own, for a while: what a script is given in place of a lasting key. It ends with that.
async fn session_token(ecr: &Ecr, signatory: &Signatory, form: &Form) -> Result<String, Fault> {
    form.refuse_narrowing()?;
    let caller = &signatory.caller;
    if signatory.ends_ms.is_some() {
        return Err(Fault(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Cannot call GetSessionToken with session credentials".to_owned(),
        ));
    }
    let most = if caller.is_root() { ROOT_MOST } else { USER_MOST };
    let seconds = form.seconds(USER_DEFAULT, most)?;
    let key = signatory.key.as_ref();
    let made = session::issue(&ecr.signed.secrets, caller, key, seconds, signatory.index).await;
    Ok(show(&made.map_err(|error| Fault::unavailable(&error))?))
}

fn show(credentials: &Credentials) -> String {
    let Credentials { key_id, secret, token, ends_ms } = credentials;
    let ends = std::time::UNIX_EPOCH + std::time::Duration::from_millis(*ends_ms);
    let ends = humantime::format_rfc3339_seconds(ends).to_string();
    let parts = [
        element("AccessKeyId", key_id),
        element("SecretAccessKey", secret),
        element("SessionToken", token),
        element("Expiration", &ends),
    ];
    format!("<Credentials>{}</Credentials>", parts.concat())
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
