//! Robot tokens as Docker's credentials.
//!
//! Owns their form: the user is `robot$` and the token's id in 32 hexadecimal digits, the password is the token's secret,
//! 32 bytes in base64 of the URL's alphabet without padding. `$` is in no name of a user, so neither is taken for the
//! other.

use argon2::password_hash::Output;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_core::access::Caller;
use cluster_core::record::RobotTokenRecord;
use cluster_core::state::principal::robot_token::{self, TokenId};
use cluster_core::state::{self, StateResult};
use cluster_core::view::View;
use proto::digest::{Algorithm, Digest};

use super::Secret;

/// What their user names begin with.
const PREFIX: &str = "robot$";
/// Bytes of a secret.
pub(crate) const SECRET: usize = 32;

/// The token that a user name means, if it is one of a token's.
pub(super) fn id_of(user: &str) -> Option<TokenId> {
    parse_id(user.strip_prefix(PREFIX)?)
}

/// An id of 32 digits.
pub(crate) fn parse_id(text: &str) -> Option<TokenId> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| is_id).map(u128::to_be_bytes)
}

/// As [`parse_id`] reads it.
pub(crate) fn show_id(id: TokenId) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

/// The user of Basic credentials.
pub(crate) fn user_name(id: TokenId) -> String {
    format!("{PREFIX}{}", show_id(id))
}

/// The password of Basic credentials, and what is kept of it.
pub(crate) fn credentials(secret: &[u8; SECRET]) -> (String, [u8; 32]) {
    let mut hash = [0; 32];
    hash.copy_from_slice(Digest::of(Algorithm::Sha256, secret).hash());
    (URL_SAFE_NO_PAD.encode(secret), hash)
}

/// The token, unless it was revoked or log time is past its end.
///
/// # Errors
/// The state could not be read.
pub(super) fn alive<V: View>(view: &V, id: &TokenId) -> StateResult<Option<RobotTokenRecord>, V> {
    let Some(record) = robot_token::robot_token(view, id)? else { return Ok(None) };
    let is_over = match record.expires_ms {
        Some(until_ms) => until_ms < state::log_time(view)?,
        None => false,
    };
    Ok(Some(record).filter(|_| !is_over))
}

/// In whose name the token acts, if `password` is its secret.
///
/// # Errors
/// The state could not be read.
pub(super) fn owner<V: View>(view: &V, id: &TokenId, password: &Secret) -> StateResult<Option<Caller>, V> {
    let record = alive(view, id)?;
    let fits = fits(password, record.as_ref().map_or(&[0; 32], |record| &record.secret_hash.0));
    Ok(record.filter(|_| fits).map(|record| record.owner.into()))
}

/// Takes as long whatever differs.
fn fits(password: &Secret, wanted: &[u8; 32]) -> bool {
    let secret = URL_SAFE_NO_PAD.decode(password.expose()).ok().filter(|secret| secret.len() == SECRET);
    let found = Digest::of(Algorithm::Sha256, secret.as_deref().unwrap_or_default());
    let outputs = Output::new(found.hash()).ok().zip(Output::new(wanted).ok());
    // `Output` compares in constant time.
    secret.is_some() && outputs.is_some_and(|(found, wanted)| found == wanted)
}

#[cfg(test)]
mod tests {
    use cluster_core::record::{EntityKind, Owner};

    use super::super::world::{DEFAULT, World, account, user};
    use super::*;

    #[test]
    fn a_user_name_is_a_robots_in_one_form_only() {
        let id = [0xab; 16];
        assert_eq!(id_of(&format!("robot${}", show_id(id))), Some(id));
        for other in ["robot$", "robot$ab", "robot", "root", "AWS", "000000000000/root"] {
            assert_eq!(id_of(other), None, "{other}");
        }
        for id in ["+b".repeat(16), "ab".repeat(17), "é".repeat(16)] {
            assert_eq!(id_of(&format!("robot${id}")), None, "{id}");
        }
    }

    #[test]
    fn the_secret_fits_and_nothing_else_does() {
        let mut hash = [0; 32];
        hash.copy_from_slice(Digest::of(Algorithm::Sha256, &[7; SECRET]).hash());
        let secret = |bytes: &[u8]| Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        assert!(fits(&secret(&[7; SECRET]), &hash));
        for other in [&[8; SECRET][..], &[7; 31], &[7; 33], b""] {
            assert!(!fits(&secret(other), &hash), "{other:?}");
        }
        let mut none = [0; 32];
        none.copy_from_slice(Digest::of(Algorithm::Sha256, b"").hash());
        assert!(!fits(&Secret::new("!".to_owned()), &none), "what is no secret is not an empty one");
    }

    #[test]
    fn a_robot_acts_for_its_owner_until_it_ends_or_is_revoked() {
        let mut world = World::new();
        world.create_user(DEFAULT, "alice", None);
        let alice = Owner::User(account(DEFAULT), "alice".parse().expect("a name"));
        let ends = world.create_robot(1, alice.clone(), None, Some(5000));
        let stays = world.create_robot(2, alice, None, None);
        let owner = |world: &World, id: TokenId, secret: u8| {
            let password = Secret::new(URL_SAFE_NO_PAD.encode([secret; SECRET]));
            owner(&world.view, &id, &password).expect("a readable state")
        };
        let alice = Some(user(DEFAULT, "alice"));
        assert_eq!((owner(&world, ends, 1), owner(&world, stays, 2)), (alice.clone(), alice.clone()));
        assert_eq!((owner(&world, ends, 2), owner(&world, [9; 16], 9)), (None, None));
        world.pass(4000);
        assert_eq!(owner(&world, ends, 1), alice, "its last millisecond");
        world.pass(1);
        assert_eq!((owner(&world, ends, 1), owner(&world, stays, 2)), (None, alice));
        world.delete(DEFAULT, EntityKind::User, "alice");
        assert_eq!(owner(&world, stays, 2), None, "it goes with its owner");
    }
}
