//! Join tokens: what a new node needs to know to ask for membership, in one line that a person can paste.
//!
//! The text is `shoal1.` and a message in base64url. It holds a secret, so `Debug` hides it; whoever has it
//! can join once before it ends. It also holds the public keys of members: the joining node talks to nobody
//! else, so nobody can pose as the cluster.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message as _;

use crate::identity::PeerAddress;
use crate::wire::join;

/// Before the encoded message; another format takes another number.
const PREFIX: &str = "shoal1.";
/// Longest text that is looked at, in bytes.
const MAX_TEXT: usize = 16 << 10;
/// Most members that one token names.
pub const MAX_MEMBERS: usize = 16;

/// The text is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: it begins with {PREFIX} and is copied whole from `shoal token create`")]
pub struct JoinTokenError;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Whoever answers must belong to this cluster.
    pub cluster_id: [u8; 16],
    /// Names the token; no secret.
    pub token_id: [u8; 16],
    /// Shows that the token was given to whoever has it.
    pub secret: [u8; 32],
    /// Members that can be asked, 1 to [`MAX_MEMBERS`].
    pub members: Vec<PeerAddress>,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("members", &self.members).finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = join::JoinToken {
            cluster_id: self.cluster_id.to_vec(),
            token_id: self.token_id.to_vec(),
            secret: self.secret.to_vec(),
            members: self.members.iter().map(ToString::to_string).collect(),
        };
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(message.encode_to_vec()))
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let read = || {
            let encoded = text.trim().strip_prefix(PREFIX).filter(|encoded| encoded.len() <= MAX_TEXT)?;
            let message = URL_SAFE_NO_PAD.decode(encoded).ok()?;
            let message = join::JoinToken::decode(message.as_slice()).ok()?;
            if !(1..=MAX_MEMBERS).contains(&message.members.len()) {
                return None;
            }
            Some(Self {
                cluster_id: message.cluster_id.try_into().ok()?,
                token_id: message.token_id.try_into().ok()?,
                secret: message.secret.try_into().ok()?,
                members: message.members.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
            })
        };
        read().ok_or(JoinTokenError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(cluster_id: [u8; 16], token_id: [u8; 16], secret: [u8; 32]) -> JoinToken {
        let members = ["1", "2"].map(|digit| {
            let text = format!("{}@127.0.0.1:500{digit}", digit.repeat(64));
            text.parse().expect("an address")
        });
        JoinToken { cluster_id, token_id, secret, members: members.to_vec() }
    }

    proptest! {
        #[test]
        fn tokens_round_trip(cluster: [u8; 16], id: [u8; 16], secret: [u8; 32]) {
            let token = token(cluster, id, secret);
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn other_texts_are_refused(text in "(shoal1\\.)?[A-Za-z0-9_-]{0,200}") {
            prop_assert_eq!(text.parse::<JoinToken>(), Err(JoinTokenError));
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?}", token([1; 16], [2; 16], [222; 32]));
        assert!(!shown.contains("222, 222") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_token_names_at_least_one_member() {
        let mut token = token([1; 16], [2; 16], [3; 32]);
        token.members.clear();
        assert_eq!(token.to_string().parse::<JoinToken>(), Err(JoinTokenError));
    }
}
