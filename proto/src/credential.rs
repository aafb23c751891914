//! Names of what a principal has: access keys, and policies of its own.
//!
//! Owns their grammars (IAM API, `AccessKeyId` and `PolicyName`). Parsed once, at the edge; the secrets are elsewhere.

use std::fmt;
use std::str::FromStr;

use crate::name::text_id;

/// Longest name of a policy in bytes (IAM quotas).
pub const MAX_POLICY_NAME: usize = 128;

/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Why a text is not one of the names of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not an access key's id.
    #[error("an access key id is AKIA and 16 of [A-Z2-7]")]
    AccessKey,
    /// Not a policy's name.
    #[error("a policy's name is 1 to 128 letters, digits and +=,.@_-")]
    PolicyName,
}

text_id! {
    /// An access key of a user or root: `AKIAIOSFODNN7EXAMPLE`. Not a secret.
    AccessKeyId
}

impl AccessKeyId {
    /// Bytes of [`AccessKeyId::of`].
    pub const RANDOM: usize = 10;

    /// The id that stands for random bytes, five bits to a letter.
    pub fn of(random: [u8; Self::RANDOM]) -> Self {
        let bits = random.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let letter = |place: u32| char::from(BASE32[(bits >> (5 * place) & 31) as usize]);
        Self("AKIA".chars().chain((0..16).rev().map(letter)).collect())
    }
}

impl FromStr for AccessKeyId {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        let fits = text.strip_prefix("AKIA").is_some_and(|rest| rest.len() == 16 && rest.bytes().all(base32));
        if fits { Ok(Self(text.to_owned())) } else { Err(CredentialError::AccessKey) }
    }
}

text_id! {
    /// An inline policy of a user, group or role. Upper and lower case are two.
    PolicyName
}

impl FromStr for PolicyName {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        let fits = (1..=MAX_POLICY_NAME).contains(&text.len()) && text.bytes().all(word);
        if fits { Ok(Self(text.to_owned())) } else { Err(CredentialError::PolicyName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_id_is_akia_and_16_of_base32() {
        assert!("AKIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>().is_ok());
        for bad in ["", "AKIA", "ASIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLEE"] {
            assert!(bad.parse::<AccessKeyId>().is_err(), "{bad}");
        }
        for bad in
            ["AKIAiosfodnn7example", "AKIAIOSFODNN1EXAMPLE", "AKIAIOSFODNN7EXAMPL\0", "AKIAIOSFODNN7EXAMPé"]
        {
            assert!(bad.parse::<AccessKeyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn random_bytes_make_ids() {
        for (random, text) in [([0; 10], "AKIAAAAAAAAAAAAAAAAA"), ([255; 10], "AKIA7777777777777777")] {
            assert_eq!(AccessKeyId::of(random).as_str(), text);
        }
        let id = AccessKeyId::of([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn a_policy_name_is_a_word_of_iam() {
        for good in ["a", "Pull-only_2", "a+=,.@b", &"p".repeat(128)] {
            assert!(good.parse::<PolicyName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a\0", "ä", "*", &"p".repeat(129)] {
            assert!(bad.parse::<PolicyName>().is_err(), "{bad}");
        }
    }
}
