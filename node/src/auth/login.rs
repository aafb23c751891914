//! Whom a user name of Basic credentials means, and which password is theirs.
//!
//! Owns the form of these names: `root` and users of the registry's account by their names alone, those of any account as
//! `<account>/<name>`. Names stand without their paths, in their own case. `AWS` and what begins with `robot$` mean
//! tokens; a user who is called so gives the account as well.

use std::fmt;

use cluster_core::access::Caller;
use cluster_core::state::principal::user;
use cluster_core::state::{self, StateResult};
use cluster_core::view::View;
use proto::identity::AccountId;

use super::ROOT_USER;

/// Whom a user name means, existing or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoginName {
    account: AccountId,
    name: String,
}

/// Somebody who may log in with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// Who.
    pub(crate) caller: Caller,
    /// A PHC string.
    pub(crate) password_hash: String,
}

impl LoginName {
    /// Reads any text: what has no meaning means a user that does not exist.
    pub(super) fn parse(text: &str, default: &AccountId) -> Self {
        let parts = text.split_once('/').and_then(|(account, name)| Some((account.parse().ok()?, name)));
        let (account, name) = parts.unwrap_or_else(|| (default.clone(), text));
        Self { account, name: name.to_owned() }
    }

    /// Whom it means; `None` if there is nobody of the name, or no password lets them in.
    ///
    /// # Errors
    /// The state could not be read.
    pub(super) fn find<V: View>(&self, view: &V) -> StateResult<Option<Login>, V> {
        if self.name == ROOT_USER {
            return login(view, Caller::Root(self.account.clone()));
        }
        let found = user::user_by_name(view, &self.account, &self.name)?;
        let found = found.filter(|record| record.head.name.name() == self.name);
        let Some(record) = found else { return Ok(None) };
        let caller = Caller::User(self.account.clone(), record.head.name);
        Ok(record.password_hash.map(|hash| Login { caller, password_hash: hash.0 }))
    }
}

impl fmt::Display for LoginName {
    /// The same for all forms of one name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.name)
    }
}

/// With the password of today, if there is such a caller and they have one.
///
/// # Errors
/// The state could not be read.
pub(crate) fn login<V: View>(view: &V, caller: Caller) -> StateResult<Option<Login>, V> {
    let password_hash = match &caller {
        Caller::Root(account) => state::cluster::root(view, account)?.map(|record| record.password_hash),
        Caller::User(account, name) => {
            let record = user::user(view, account, name)?;
            record.and_then(|record| record.password_hash).map(|hash| hash.0)
        }
        _ => None,
    };
    Ok(password_hash.map(|password_hash| Login { caller, password_hash }))
}

#[cfg(test)]
mod tests {
    use super::super::world::{DEFAULT, OTHER, World, account, user as caller};
    use super::*;

    #[test]
    fn a_name_means_one_caller_in_each_of_its_forms() {
        let mut world = World::new();
        world.create_user(DEFAULT, "dev/alice", Some("$a"));
        world.create_user(OTHER, "alice", Some("$b"));
        world.create_user(DEFAULT, "root", Some("$c"));
        world.create_user(DEFAULT, "silent", None);
        let find = |text: &str| {
            let name = LoginName::parse(text, &account(DEFAULT));
            let login = name.find(&world.view).expect("a readable state");
            login.map(|login| (name.to_string(), login.caller, login.password_hash))
        };
        let root = |of: &str| Caller::Root(account(of));
        for (text, caller, hash) in [
            ("root", root(DEFAULT), "$root"),
            ("000000000001/root", root(DEFAULT), "$root"),
            ("000000000002/root", root(OTHER), "$root"),
            ("alice", caller(DEFAULT, "dev/alice"), "$a"),
            ("000000000001/alice", caller(DEFAULT, "dev/alice"), "$a"),
            ("000000000002/alice", caller(OTHER, "alice"), "$b"),
        ] {
            let (name, found, found_hash) = find(text).expect(text);
            assert_eq!((&found, found_hash.as_str()), (&caller, hash), "{text}");
            let alone = text.rsplit('/').next().unwrap_or_default();
            let of = found.account().expect("an account");
            assert_eq!(name, format!("{of}/{alone}"), "wrong passwords are counted together");
        }
        for text in [
            "Alice",
            "ALICE",
            "dev/alice",
            "000000000001/dev/alice",
            "000000000003/root",
            "silent",
            "nobody",
            "",
            "/",
            "000000000001/",
            "arn:aws:iam::000000000001:root",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
