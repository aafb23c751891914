//! Whom a statement names.
//!
//! Owns the entries of Principal and NotPrincipal (ECR specification §9.2): everyone, accounts, users, roles, sessions,
//! services. Only `*` alone is a wildcard; it includes those who did not say who they are.

use std::fmt;
use std::str::FromStr;

use crate::arn::{ArnError, PrincipalArn};
use crate::name::text_id;

/// An entry of Principal or NotPrincipal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalName {
    /// `*`
    Everyone,
    /// `{"AWS": …}`
    Aws(PrincipalArn),
    /// `{"Service": …}`
    Service(ServiceName),
}

text_id! {
    /// A service that acts in its own name: `replication.ecr.amazonaws.com`.
    ServiceName
}

impl FromStr for ServiceName {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let label = |label: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(fits)
        };
        let fits = text.len() <= 253
            && text.strip_suffix(".amazonaws.com").is_some_and(|own| own.split('.').all(label));
        if fits { Ok(Self(text.to_owned())) } else { Err(ArnError::Principal) }
    }
}

impl PrincipalName {
    /// Reads an entry of the list that `kind` (`AWS`, `Service`) names.
    pub(super) fn parse(kind: &str, text: &str) -> Result<Self, ArnError> {
        match (kind, text) {
            ("AWS", "*") => Ok(Self::Everyone),
            ("AWS", text) => text.parse().map(Self::Aws),
            ("Service", text) => text.parse().map(Self::Service),
            // Federated and CanonicalUser: nobody here is one.
            _ => Err(ArnError::Principal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_everyone_arns_accounts_and_services() {
        assert_eq!(PrincipalName::parse("AWS", "*"), Ok(PrincipalName::Everyone));
        for (kind, good) in [
            ("AWS", "000000000001"),
            ("AWS", "arn:aws:iam::000000000001:user/a"),
            ("Service", "ecr.amazonaws.com"),
            ("Service", "replication.ecr.amazonaws.com"),
        ] {
            assert!(PrincipalName::parse(kind, good).is_ok(), "{good}");
        }
        for (kind, bad) in [
            ("AWS", ""),
            ("AWS", "**"),
            ("AWS", "arn:aws:iam::*:root"),
            ("AWS", "ecr.amazonaws.com"),
            ("Service", "*"),
            ("Service", ".amazonaws.com"),
            ("Service", "amazonaws.com"),
            ("Service", "ecr.amazonaws.com.example"),
            ("Service", "ECR.amazonaws.com"),
            ("Federated", "accounts.example"),
            ("aws", "000000000001"),
        ] {
            assert!(PrincipalName::parse(kind, bad).is_err(), "{bad}");
        }
    }
}
