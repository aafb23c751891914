//! Users: passwords, sessions, groups.

use cluster_core::command::PrincipalCommand;
use cluster_core::command::principal::{
    CreateUser, Membership, PasswordChange, SetLogin, SetMembership, Tokens,
};
use cluster_core::record::{EntityKind, Owner};

use super::{Answer, Desk, Refusal, done};
use crate::api::admin::accounts;

pub(super) async fn create(desk: &Desk<'_>, name: &str, password: Option<String>) -> Answer {
    let user = desk.entity("iam:CreateUser", EntityKind::User, name)?;
    let password_hash = match password {
        Some(password) => Some(accounts::hash(desk.admin, password).await?),
        None => None,
    };
    let command = CreateUser { account: user.account, name: user.name, password_hash };
    desk.change(PrincipalCommand::CreateUser(command)).await?;
    done()
}

/// Tokens that were had by the old password end with it.
pub(super) async fn set_password(desk: &Desk<'_>, user: Option<&str>, password: Option<String>) -> Answer {
    let owner = desk.owner("iam:UpdateLoginProfile", user)?;
    let change = match password {
        Some(password) => PasswordChange::Set(accounts::hash(desk.admin, password).await?),
        None => PasswordChange::Remove,
    };
    set_login(desk, owner, change).await
}

pub(super) async fn revoke_sessions(desk: &Desk<'_>, user: Option<&str>) -> Answer {
    let owner = desk.owner("shoal:RevokeSessions", user)?;
    set_login(desk, owner, PasswordChange::Keep).await
}

async fn set_login(desk: &Desk<'_>, owner: Owner, password: PasswordChange) -> Answer {
    let command = SetLogin { owner, password, tokens: Tokens::Void };
    desk.change(PrincipalCommand::SetLogin(command)).await?;
    done()
}

pub(super) async fn add_to_group(desk: &Desk<'_>, user: &str, group: &str) -> Answer {
    set_membership(desk, "iam:AddUserToGroup", (user, group), Membership::Member).await
}

pub(super) async fn remove_from_group(desk: &Desk<'_>, user: &str, group: &str) -> Answer {
    set_membership(desk, "iam:RemoveUserFromGroup", (user, group), Membership::None).await
}

/// IAM asks for the group only.
async fn set_membership(
    desk: &Desk<'_>,
    action: &str,
    (user, group): (&str, &str),
    membership: Membership,
) -> Answer {
    let group = desk.entity(action, EntityKind::Group, group)?;
    let user = user.parse().map_err(Refusal::invalid)?;
    let command = SetMembership { account: group.account, user, group: group.name, membership };
    desk.change(PrincipalCommand::SetMembership(command)).await?;
    done()
}
