//! What a token says: of whom, for what, for how long; and whether it counts for them still.

use cluster_core::access::Caller;
use cluster_core::record::KeyState;
use cluster_core::state::StateResult;
use cluster_core::state::principal::robot_token::TokenId;
use cluster_core::state::principal::{access_key, identity, revoked, role};
use cluster_core::view::View;
use proto::arn::PrincipalArn;
use serde::{Deserialize, Serialize};

use super::scope::Grant;
use super::{Proof, robot};

/// The claims of all kinds of tokens, which their audience tells apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) access: Vec<Grant>,
    /// In access tokens: the only registry where they count; absent in those of old releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registry: Option<String>,
    /// In refresh tokens: which password they stand for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,
    /// In authorization tokens: the only region where they count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    /// In authorization tokens and what is bought with them: the access key that these were asked for with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// In access tokens: the authorization token that they were asked for with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authorization: Option<String>,
    /// In access tokens: the robot token that they were asked for with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) robot: Option<String>,
    /// Index of the last entry of the state that issued it, or of an older one; 0 in those of old releases, which end with
    /// the first change of their principal's login.
    #[serde(default)]
    pub(super) index: u64,
}

impl Claims {
    /// Whom it names, if they still exist and it was issued since their tokens count.
    ///
    /// # Errors
    /// The state could not be read.
    pub(super) fn caller<V: View>(&self, view: &V) -> StateResult<Option<Caller>, V> {
        let Some(caller) = subject(view, &self.sub)? else { return Ok(None) };
        let known = identity::identity(view, &caller)?;
        Ok(known.filter(|known| self.index >= known.tokens_valid_from_index).map(|_| caller))
    }

    /// What `caller` proved themselves with when they asked for it, if that counts still.
    ///
    /// # Errors
    /// The state could not be read.
    pub(super) fn proof<V: View>(&self, view: &V, caller: &Caller) -> StateResult<Option<Proof>, V> {
        if let Some(id) = &self.authorization {
            let Some(id) = robot::parse_id(id) else { return Ok(None) };
            if !self.counts(view, caller, &id)? {
                return Ok(None);
            }
        }
        let Some(id) = &self.robot else {
            let proof = if *caller == Caller::Anonymous { Proof::Nothing } else { Proof::Token };
            return Ok(Some(proof));
        };
        let Some(id) = robot::parse_id(id) else { return Ok(None) };
        let record = robot::alive(view, &id)?;
        Ok(record.filter(|record| *caller == record.owner.clone().into()).map(|_| Proof::Robot(id)))
    }
}

impl Claims {
    /// Whether the authorization token of that id counts: it was not revoked, nor the key that it was asked for with.
    ///
    /// # Errors
    /// The state could not be read.
    pub(super) fn counts<V: View>(&self, view: &V, caller: &Caller, id: &TokenId) -> StateResult<bool, V> {
        if revoked::is_revoked(view, id)? {
            return Ok(false);
        }
        let Some(key) = &self.key else {
            // A role has no keys: it ends with its session, or is voided with all of the role's.
            return Ok(matches!(caller, Caller::Session { .. }));
        };
        let Ok(key) = key.parse() else { return Ok(false) };
        let record = access_key::access_key(view, &key)?;
        Ok(record.is_some_and(|record| record.state == KeyState::Active && *caller == record.owner.into()))
    }
}

/// The caller of whom a token says this.
fn subject<V: View>(view: &V, text: &str) -> StateResult<Option<Caller>, V> {
    let caller = match text.parse() {
        Ok(PrincipalArn::Root(account)) => Caller::Root(account),
        Ok(PrincipalArn::User(account, name)) => Caller::User(account, name),
        Ok(PrincipalArn::Session(account, name)) => {
            // The ARN lacks the role's path.
            let role = name.as_str().split_once('/').map_or("", |(role, _)| role);
            let record = role::role_by_name(view, &account, role)?;
            let Some(record) = record else { return Ok(None) };
            Caller::Session { account, role: record.head.name, name }
        }
        _ => Caller::Anonymous,
    };
    // A principal has forms that are in no token.
    Ok(Some(caller).filter(|caller| caller.to_string() == text))
}

#[cfg(test)]
mod tests {
    use cluster_core::command::principal::{PasswordChange, PrincipalCommand, SetLogin, Tokens};
    use cluster_core::record::{EntityKind, Owner};

    use super::super::world::{DEFAULT, World, account, user};
    use super::*;

    fn claims(caller: &str, index: u64, robot: Option<&str>) -> Claims {
        Claims {
            iss: String::new(),
            sub: caller.to_owned(),
            aud: String::new(),
            exp: 0,
            nbf: 0,
            iat: 2,
            jti: String::new(),
            access: Vec::new(),
            registry: None,
            password: None,
            region: None,
            key: None,
            authorization: None,
            robot: robot.map(str::to_owned),
            index,
        }
    }

    const ALICE: &str = "arn:aws:iam::000000000001:user/alice";

    #[test]
    fn a_token_counts_from_the_moment_that_its_principals_tokens_count() {
        let mut world = World::new();
        world.create_user(DEFAULT, "alice", None);
        let made = world.index;
        let counts = |world: &World, index| {
            let caller = claims(ALICE, index, None).caller(&world.view).expect("a readable state");
            assert!(caller.is_none() || caller == Some(user(DEFAULT, "alice")));
            caller.is_some()
        };
        // Of one who had the name before; issued at once; by an old release.
        assert!(!counts(&world, made - 1) && counts(&world, made) && !counts(&world, 0));
        let owner = Owner::User(account(DEFAULT), "alice".parse().expect("a name"));
        let (password, tokens) = (PasswordChange::Keep, Tokens::Void);
        world.run(PrincipalCommand::SetLogin(SetLogin { owner, password, tokens }));
        assert!(!counts(&world, world.index - 1) && counts(&world, world.index));
        world.delete(DEFAULT, EntityKind::User, "alice");
        assert!(!counts(&world, u64::MAX), "nobody has tokens");
    }

    #[test]
    fn a_token_names_its_caller_in_one_form_only() {
        let world = World::new();
        let caller = |text: &str| claims(text, u64::MAX, None).caller(&world.view).expect("a readable state");
        assert_eq!(caller("anonymous"), Some(Caller::Anonymous));
        assert_eq!(caller("arn:aws:iam::000000000001:root"), Some(Caller::Root(account(DEFAULT))));
        for text in ["", "root", "000000000001", "arn:aws:iam::000000000009:root", ALICE, "Anonymous"] {
            assert_eq!(caller(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_of_a_robot_ends_with_it_and_is_its_owners() {
        let mut world = World::new();
        let root = Caller::Root(account(DEFAULT));
        let id = world.create_robot(7, Owner::Root(account(DEFAULT)), None, None);
        let proof = |world: &World, caller: &Caller, robot: Option<&str>| {
            claims("", 0, robot).proof(&world.view, caller).expect("a readable state")
        };
        let shown = robot::show_id(id);
        assert_eq!(proof(&world, &root, Some(&shown)), Some(Proof::Robot(id)));
        assert_eq!(proof(&world, &user(DEFAULT, "alice"), Some(&shown)), None);
        assert_eq!(proof(&world, &root, Some("x")), None);
        assert_eq!(proof(&world, &root, None), Some(Proof::Token));
        assert_eq!(proof(&world, &Caller::Anonymous, None), Some(Proof::Nothing));
        world.run(PrincipalCommand::RevokeRobotToken { id });
        assert_eq!(proof(&world, &root, Some(&shown)), None);
    }
}
