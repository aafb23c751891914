//! What `shoal user`, `group` and `role` have in common: show, list and delete.

use proto::admin::iam::{Entities, Entity, EntityInfo, IamCall, Kind, Named};

use super::iam::{Within, time};
use crate::client::ClientError;
use crate::output::{columns, pairs, render};

/// A user, group or role.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// Path and name, such as alice or dev/alice
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) within: Within,
}

/// One that goes.
#[derive(Debug, clap::Args)]
pub struct Gone {
    /// With all that belongs to it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    name: Name,
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Group => "group",
        Kind::Role => "role",
    }
}

pub(crate) fn delete(kind: Kind, gone: Gone) -> Result<String, ClientError> {
    let Gone { force, name: Name { name, within } } = gone;
    let told = format!("{} {name} is deleted", word(kind));
    within.change(&IamCall::Delete { kind, name, force }, &told)
}

pub(crate) fn show(kind: Kind, name: Name) -> Result<String, ClientError> {
    let Name { name, within } = name;
    let entity: Entity = within.call(&IamCall::Get(Named { kind, name }))?;
    Ok(render(within.options.output, &entity, table))
}

fn table(entity: &Entity) -> String {
    let members = if entity.kind == Kind::Group { "users" } else { "groups" };
    let mut rows = vec![
        ("name", entity.name.clone()),
        ("arn", entity.arn.clone()),
        ("created", time(entity.created_ms)),
        ("policies", entity.policies.join(", ")),
    ];
    if entity.kind != Kind::Role {
        let more = if entity.more { ", and more" } else { "" };
        rows.push((members, format!("{}{more}", entity.members.join(", "))));
    }
    rows.extend(entity.has_password.map(|has| ("password", if has { "yes" } else { "no" }.to_owned())));
    rows.extend(entity.max_session_seconds.map(|seconds| ("longest session", format!("{seconds} s"))));
    rows.extend(entity.trust_policy.clone().map(|text| ("trust policy", text)));
    pairs(rows)
}

pub(crate) fn list(kind: Kind, within: &Within) -> Result<String, ClientError> {
    let page = |after| within.call::<Entities>(&IamCall::List { kind, after });
    let mut all = page(None)?;
    while let Some(last) = all.entities.last().filter(|_| all.more) {
        // Ordered by what follows the path.
        let next = page(last.name.rsplit('/').next().map(str::to_owned))?;
        all.more = next.more && !next.entities.is_empty();
        all.entities.extend(next.entities);
    }
    let row = |entity: &EntityInfo| vec![entity.name.clone(), time(entity.created_ms), entity.arn.clone()];
    let table = |all: &Entities| columns(&["NAME", "CREATED", "ARN"], all.entities.iter().map(row));
    Ok(render(within.options.output, &all, table))
}
