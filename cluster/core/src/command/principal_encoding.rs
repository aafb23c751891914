//! Commands about principals to and from their messages (`proto/wire/principal.proto`).

use proto::wire::command as wire;
use wire::principal_command::Kind;

use super::encoding::{DecodeError, array, text};
use super::principal::{
    CreateAccessKey, CreateAccount, CreateRobotToken, CreateRole, CreateUser, Deletion, Membership,
    PasswordChange, PrincipalCommand, SetLogin, SetMembership, Tokens, UpdateRole,
};
use crate::record::{Entity, EntityKind, Hidden, KeyState, Owner, Sealed};

pub(super) fn to_wire(command: &PrincipalCommand) -> wire::PrincipalCommand {
    use PrincipalCommand as C;
    let kind = match command {
        C::CreateAccount(create) => Kind::CreateAccount(account_to_wire(create)),
        C::SetLogin(set) => Kind::SetLogin(login_to_wire(set)),
        C::CreateUser(create) => Kind::CreateUser(user_to_wire(create)),
        C::CreateGroup { account, name } => {
            Kind::CreateGroup(wire::CreateGroup { account: account.to_string(), name: name.to_string() })
        }
        C::SetMembership(set) => Kind::SetMembership(membership_to_wire(set)),
        C::CreateRole(create) => Kind::CreateRole(role_to_wire(create)),
        C::UpdateRole(update) => Kind::UpdateRole(update_to_wire(update)),
        C::Delete { entity, deletion } => Kind::DeleteEntity(wire::DeleteEntity {
            entity: Some(entity_to_wire(entity)),
            is_forced: *deletion == Deletion::Forced,
        }),
        C::PutPolicy { entity, name, text } => {
            let (entity, name) = (Some(entity_to_wire(entity)), name.to_string());
            Kind::PutPolicy(wire::PutPolicy { entity, name, text: text.clone() })
        }
        C::DeletePolicy { entity, name } => {
            let (entity, name) = (Some(entity_to_wire(entity)), name.to_string());
            Kind::DeletePolicy(wire::DeletePolicy { entity, name })
        }
        C::CreateAccessKey(create) => Kind::CreateAccessKey(wire::CreateAccessKey {
            id: create.id.to_string(),
            owner: Some(owner_to_wire(&create.owner)),
            sealed: create.sealed.bytes.0.clone(),
            sealed_by: create.sealed.by,
        }),
        C::SetAccessKeyState { id, state } => {
            let is_active = *state == KeyState::Active;
            Kind::SetAccessKeyState(wire::SetAccessKeyState { id: id.to_string(), is_active })
        }
        C::ResealAccessKey { id, before_by, sealed } => Kind::ResealAccessKey(wire::ResealAccessKey {
            id: id.to_string(),
            sealed_before_by: *before_by,
            sealed: sealed.bytes.0.clone(),
            sealed_by: sealed.by,
        }),
        C::DeleteAccessKey { id } => Kind::DeleteAccessKey(wire::DeleteAccessKey { id: id.to_string() }),
        C::CreateRobotToken(create) => Kind::CreateRobotToken(token_to_wire(create)),
        C::RevokeRobotToken { id } => Kind::RevokeRobotToken(wire::RevokeRobotToken { id: id.to_vec() }),
        C::RevokeAuthorization { id, until_ms } => {
            Kind::RevokeAuthorization(wire::RevokeAuthorization { id: id.to_vec(), until_ms: *until_ms })
        }
    };
    wire::PrincipalCommand { kind: Some(kind) }
}

fn account_to_wire(create: &CreateAccount) -> wire::CreateAccount {
    wire::CreateAccount {
        account: create.account.to_string(),
        name: create.name.clone(),
        root_password_hash: create.root_password_hash.0.clone(),
    }
}

fn login_to_wire(set: &SetLogin) -> wire::SetLogin {
    wire::SetLogin {
        owner: Some(owner_to_wire(&set.owner)),
        password_hash: match &set.password {
            PasswordChange::Set(hash) => Some(hash.0.clone()),
            PasswordChange::Keep | PasswordChange::Remove => None,
        },
        removes_password: set.password == PasswordChange::Remove,
        voids_tokens: set.tokens == Tokens::Void,
    }
}

fn user_to_wire(create: &CreateUser) -> wire::CreateUser {
    wire::CreateUser {
        account: create.account.to_string(),
        name: create.name.to_string(),
        password_hash: create.password_hash.as_ref().map(|hash| hash.0.clone()),
    }
}

fn membership_to_wire(set: &SetMembership) -> wire::SetMembership {
    wire::SetMembership {
        account: set.account.to_string(),
        user: set.user.to_string(),
        group: set.group.to_string(),
        is_member: set.membership == Membership::Member,
    }
}

fn role_to_wire(create: &CreateRole) -> wire::CreateRole {
    wire::CreateRole {
        account: create.account.to_string(),
        name: create.name.to_string(),
        trust_policy: create.trust_policy.clone(),
        max_session_seconds: create.max_session_seconds,
    }
}

fn update_to_wire(update: &UpdateRole) -> wire::UpdateRole {
    wire::UpdateRole {
        account: update.account.to_string(),
        name: update.name.to_string(),
        trust_policy: update.trust_policy.clone(),
        max_session_seconds: update.max_session_seconds,
        voids_tokens: update.tokens == Tokens::Void,
    }
}

fn token_to_wire(create: &CreateRobotToken) -> wire::CreateRobotToken {
    wire::CreateRobotToken {
        id: create.id.to_vec(),
        owner: Some(owner_to_wire(&create.owner)),
        name: create.name.clone(),
        secret_hash: create.secret_hash.0.to_vec(),
        policy: create.policy.clone(),
        expires_ms: create.expires_ms,
    }
}

fn entity_to_wire(entity: &Entity) -> wire::Entity {
    let kind = match entity.kind {
        EntityKind::User => wire::EntityKind::User,
        EntityKind::Group => wire::EntityKind::Group,
        EntityKind::Role => wire::EntityKind::Role,
    };
    wire::Entity { account: entity.account.to_string(), kind: kind.into(), name: entity.name.to_string() }
}

fn owner_to_wire(owner: &Owner) -> wire::Owner {
    let (account, user) = owner.to_texts();
    wire::Owner { account, user }
}

pub(super) fn from_wire(command: wire::PrincipalCommand) -> Result<PrincipalCommand, DecodeError> {
    use PrincipalCommand as C;
    Ok(match command.kind.ok_or(DecodeError::UnknownCommand)? {
        Kind::CreateAccount(create) => C::CreateAccount(CreateAccount {
            account: text(&create.account, "account")?,
            name: create.name,
            root_password_hash: Hidden(create.root_password_hash),
        }),
        Kind::SetLogin(set) => C::SetLogin(login(set)?),
        Kind::CreateUser(create) => C::CreateUser(CreateUser {
            account: text(&create.account, "account")?,
            name: text(&create.name, "user")?,
            password_hash: create.password_hash.map(Hidden),
        }),
        Kind::CreateGroup(create) => {
            let (account, name) = (text(&create.account, "account")?, text(&create.name, "group")?);
            C::CreateGroup { account, name }
        }
        Kind::SetMembership(set) => C::SetMembership(SetMembership {
            account: text(&set.account, "account")?,
            user: text(&set.user, "user")?,
            group: text(&set.group, "group")?,
            membership: if set.is_member { Membership::Member } else { Membership::None },
        }),
        Kind::CreateRole(create) => C::CreateRole(CreateRole {
            account: text(&create.account, "account")?,
            name: text(&create.name, "role")?,
            trust_policy: create.trust_policy,
            max_session_seconds: create.max_session_seconds,
        }),
        Kind::UpdateRole(update) => C::UpdateRole(UpdateRole {
            account: text(&update.account, "account")?,
            name: text(&update.name, "role")?,
            trust_policy: update.trust_policy,
            max_session_seconds: update.max_session_seconds,
            tokens: tokens(update.voids_tokens),
        }),
        Kind::DeleteEntity(delete) => C::Delete {
            entity: entity(delete.entity)?,
            deletion: if delete.is_forced { Deletion::Forced } else { Deletion::IfBare },
        },
        Kind::PutPolicy(put) => {
            let (entity, name) = (entity(put.entity)?, text(&put.name, "policy name")?);
            C::PutPolicy { entity, name, text: put.text }
        }
        Kind::DeletePolicy(delete) => {
            let (entity, name) = (entity(delete.entity)?, text(&delete.name, "policy name")?);
            C::DeletePolicy { entity, name }
        }
        kind => credential(kind)?,
    })
}

fn credential(kind: Kind) -> Result<PrincipalCommand, DecodeError> {
    use PrincipalCommand as C;
    let key = |id: &str| text(id, "access key");
    let sealed = |bytes, by| Sealed { bytes: Hidden(bytes), by };
    Ok(match kind {
        Kind::CreateAccessKey(create) => C::CreateAccessKey(CreateAccessKey {
            id: key(&create.id)?,
            owner: owner(create.owner)?,
            sealed: sealed(create.sealed, create.sealed_by),
        }),
        Kind::SetAccessKeyState(set) => {
            let state = if set.is_active { KeyState::Active } else { KeyState::Inactive };
            C::SetAccessKeyState { id: key(&set.id)?, state }
        }
        Kind::ResealAccessKey(reseal) => C::ResealAccessKey {
            id: key(&reseal.id)?,
            before_by: reseal.sealed_before_by,
            sealed: sealed(reseal.sealed, reseal.sealed_by),
        },
        Kind::DeleteAccessKey(delete) => C::DeleteAccessKey { id: key(&delete.id)? },
        Kind::CreateRobotToken(create) => C::CreateRobotToken(CreateRobotToken {
            id: array(create.id, "robot token")?,
            owner: owner(create.owner)?,
            name: create.name,
            secret_hash: Hidden(array(create.secret_hash, "secret hash")?),
            policy: create.policy,
            expires_ms: create.expires_ms,
        }),
        Kind::RevokeRobotToken(revoke) => C::RevokeRobotToken { id: array(revoke.id, "robot token")? },
        Kind::RevokeAuthorization(revoke) => {
            C::RevokeAuthorization { id: array(revoke.id, "authorization")?, until_ms: revoke.until_ms }
        }
        _ => return Err(DecodeError::UnknownCommand),
    })
}

fn login(set: wire::SetLogin) -> Result<SetLogin, DecodeError> {
    let password = match (set.password_hash, set.removes_password) {
        (Some(hash), false) => PasswordChange::Set(Hidden(hash)),
        (None, false) => PasswordChange::Keep,
        (None, true) => PasswordChange::Remove,
        (Some(_), true) => return Err(DecodeError::Field("password")),
    };
    Ok(SetLogin { owner: owner(set.owner)?, password, tokens: tokens(set.voids_tokens) })
}

fn tokens(are_void: bool) -> Tokens {
    if are_void { Tokens::Void } else { Tokens::Keep }
}

fn entity(wire: Option<wire::Entity>) -> Result<Entity, DecodeError> {
    let wire = wire.ok_or(DecodeError::Field("entity"))?;
    let kind = match wire.kind() {
        wire::EntityKind::User => EntityKind::User,
        wire::EntityKind::Group => EntityKind::Group,
        wire::EntityKind::Role => EntityKind::Role,
        wire::EntityKind::Unspecified => return Err(DecodeError::Field("kind")),
    };
    Ok(Entity { account: text(&wire.account, "account")?, kind, name: text(&wire.name, "name")? })
}

fn owner(wire: Option<wire::Owner>) -> Result<Owner, DecodeError> {
    let wire = wire.ok_or(DecodeError::Field("owner"))?;
    Owner::from_texts(&wire.account, &wire.user).map_err(DecodeError::Field)
}

#[cfg(test)]
#[path = "principal_encoding_test.rs"]
pub(super) mod tests;
