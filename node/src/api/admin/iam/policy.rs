//! Policies of users, groups and roles: read strictly before they are stored.

use cluster_core::command::PrincipalCommand;
use cluster_core::record::Entity;
use cluster_core::state::principal::policy;
use proto::admin::iam::{Named, PolicyText};
use proto::credential::PolicyName;
use proto::policy::{Extensions, Kind, Policy, PolicyError};

use super::{Answer, Desk, Refusal, answer, done, kind_of, word};
use crate::telemetry::log::chain;

fn refused(error: &PolicyError) -> Refusal {
    Refusal::Invalid(format!("no policy: {}", chain(error)))
}

/// A policy that narrows or grants.
pub(super) fn parse(text: &str) -> Result<Policy, Refusal> {
    Policy::parse(text.as_bytes(), Kind::Identity, Extensions::Allowed).map_err(|error| refused(&error))
}

/// Refuses what says not who may become a role.
pub(super) fn trust(text: &str) -> Result<(), Refusal> {
    Policy::parse(text.as_bytes(), Kind::Trust, Extensions::Allowed)
        .map(drop)
        .map_err(|error| refused(&error))
}

fn of(desk: &Desk<'_>, verb: &str, entity: &Named, name: &str) -> Result<(Entity, PolicyName), Refusal> {
    let action = format!("iam:{verb}{}Policy", word(entity.kind));
    let entity = desk.entity(&action, kind_of(entity.kind), &entity.name)?;
    Ok((entity, name.parse().map_err(Refusal::invalid)?))
}

fn show(document: String) -> Answer {
    let warnings = Policy::stored(document.as_bytes(), Kind::Identity).warnings();
    let warnings = warnings.into_iter().map(|(number, warning)| format!("statement {number}: {warning}"));
    answer(&PolicyText { warnings: warnings.collect(), document })
}

pub(super) async fn put(desk: &Desk<'_>, entity: &Named, name: &str, document: String) -> Answer {
    let (entity, name) = of(desk, "Put", entity, name)?;
    parse(&document)?;
    let command = PrincipalCommand::PutPolicy { entity, name, text: document.clone() };
    desk.change(command).await?;
    show(document)
}

pub(super) async fn get(desk: &Desk<'_>, entity: &Named, name: &str) -> Answer {
    let (entity, name) = of(desk, "Get", entity, name)?;
    let reader = desk.admin.metadata.read().await?;
    desk.exists(&reader, &entity)?;
    let text = policy::policy(&reader, &entity, &name)?;
    show(text.ok_or(Refusal::NotFound("there is no such policy"))?)
}

pub(super) async fn delete(desk: &Desk<'_>, entity: &Named, name: &str) -> Answer {
    let (entity, name) = of(desk, "Delete", entity, name)?;
    desk.change(PrincipalCommand::DeletePolicy { entity, name }).await?;
    done()
}
