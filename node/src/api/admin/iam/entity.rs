//! What users, groups and roles have in common; and the making of groups and roles.

use cluster::StateReader;
use cluster_core::access::Resource;
use cluster_core::command::PrincipalCommand;
use cluster_core::command::principal::{CreateRole, Deletion, Tokens, UpdateRole};
use cluster_core::record::{Entity, EntityHead, EntityKind};
use cluster_core::state::principal::{group, policy, role, user};
use proto::admin::iam::{self, Entities, EntityInfo, Kind, Named};

use super::{Answer, Desk, PAGE, Refusal, answer, done, kind_of, word};

pub(super) async fn create_group(desk: &Desk<'_>, name: &str) -> Answer {
    let Entity { account, name, .. } = desk.entity("iam:CreateGroup", EntityKind::Group, name)?;
    desk.change(PrincipalCommand::CreateGroup { account, name }).await?;
    done()
}

pub(super) async fn create_role(
    desk: &Desk<'_>,
    name: &str,
    trust_policy: String,
    max_session_seconds: u32,
) -> Answer {
    let role = desk.entity("iam:CreateRole", EntityKind::Role, name)?;
    super::policy::trust(&trust_policy)?;
    let command = CreateRole { account: role.account, name: role.name, trust_policy, max_session_seconds };
    desk.change(PrincipalCommand::CreateRole(command)).await?;
    done()
}

/// Whoever became it by the old trust policy must do so again.
pub(super) async fn update_role(
    desk: &Desk<'_>,
    name: &str,
    trust_policy: Option<String>,
    max_session_seconds: Option<u32>,
) -> Answer {
    // Each of both, if both are changed.
    if trust_policy.is_some() {
        desk.entity("iam:UpdateAssumeRolePolicy", EntityKind::Role, name)?;
    }
    let needed = max_session_seconds.map_or("iam:UpdateAssumeRolePolicy", |_| "iam:UpdateRole");
    let role = desk.entity(needed, EntityKind::Role, name)?;
    trust_policy.as_deref().map_or(Ok(()), super::policy::trust)?;
    let Entity { account, name, .. } = role;
    let command = UpdateRole { account, name, trust_policy, max_session_seconds, tokens: Tokens::Void };
    desk.change(PrincipalCommand::UpdateRole(command)).await?;
    done()
}

pub(super) async fn delete(desk: &Desk<'_>, kind: Kind, name: &str, force: bool) -> Answer {
    let entity = desk.entity(&format!("iam:Delete{}", word(kind)), kind_of(kind), name)?;
    let deletion = if force { Deletion::Forced } else { Deletion::IfBare };
    desk.change(PrincipalCommand::Delete { entity, deletion }).await?;
    done()
}

pub(super) async fn get(desk: &Desk<'_>, named: &Named) -> Answer {
    let action = format!("iam:Get{}", word(named.kind));
    let entity = desk.entity(&action, kind_of(named.kind), &named.name)?;
    let reader = desk.admin.metadata.read().await?;
    let unknown = || Refusal::NotFound("there is no such principal");
    let policies = policy::policies(&reader, &entity)?;
    let mut shown = iam::Entity {
        kind: named.kind,
        name: entity.name.to_string(),
        arn: entity.arn().to_string(),
        created_ms: 0,
        policies: policies.into_iter().map(|(name, _)| name.to_string()).collect(),
        members: Vec::new(),
        more: false,
        has_password: None,
        trust_policy: None,
        max_session_seconds: None,
    };
    match entity.kind {
        EntityKind::User => {
            let record = user::user(&reader, &entity.account, &entity.name)?.ok_or_else(unknown)?;
            shown.created_ms = record.head.created_ms;
            shown.members = record.groups.iter().map(ToString::to_string).collect();
            shown.has_password = Some(record.password_hash.is_some());
        }
        EntityKind::Group => {
            let record = group::group(&reader, &entity.account, &entity.name)?.ok_or_else(unknown)?;
            shown.created_ms = record.head.created_ms;
            let members = group::members(&reader, &entity.account, &entity.name, None, PAGE)?;
            shown.more = members.more;
            shown.members = members.items.into_iter().map(|user| user.head.name.to_string()).collect();
        }
        EntityKind::Role => {
            let record = role::role(&reader, &entity.account, &entity.name)?.ok_or_else(unknown)?;
            shown.created_ms = record.head.created_ms;
            shown.trust_policy = Some(record.trust_policy);
            shown.max_session_seconds = Some(record.max_session_seconds);
        }
    }
    answer(&shown)
}

pub(super) async fn list(desk: &Desk<'_>, kind: Kind, after: Option<&str>) -> Answer {
    desk.may(&format!("iam:List{}s", word(kind)), Resource::Account(desk.account.clone()))?;
    let reader = desk.admin.metadata.read().await?;
    let (heads, more) = heads(&reader, desk, kind_of(kind), after)?;
    let show = |head: EntityHead| {
        let entity = Entity { account: desk.account.clone(), kind: kind_of(kind), name: head.name };
        EntityInfo {
            arn: entity.arn().to_string(),
            name: entity.name.to_string(),
            created_ms: head.created_ms,
        }
    };
    answer(&Entities { entities: heads.into_iter().map(show).collect(), more })
}

fn heads(
    reader: &StateReader,
    desk: &Desk<'_>,
    kind: EntityKind,
    after: Option<&str>,
) -> Result<(Vec<EntityHead>, bool), Refusal> {
    let account = &desk.account;
    Ok(match kind {
        EntityKind::User => {
            let page = user::users(reader, account, after, PAGE)?;
            (page.items.into_iter().map(|record| record.head).collect(), page.more)
        }
        EntityKind::Group => {
            let page = group::groups(reader, account, after, PAGE)?;
            (page.items.into_iter().map(|record| record.head).collect(), page.more)
        }
        EntityKind::Role => {
            let page = role::roles(reader, account, after, PAGE)?;
            (page.items.into_iter().map(|record| record.head).collect(), page.more)
        }
    })
}
