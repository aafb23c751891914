//! Amazon Resource Names: what policies call resources and principals.
//!
//! Owns the six parts of an ARN and the principals that IAM names by one (ECR specification §9.2, "Principals"; IAM
//! user guide, "IAM identifiers"). Parsed once, at the edge; compared byte for byte, so neither case nor lookalikes
//! of other scripts ever match.

use std::fmt;
use std::str::FromStr;

use crate::identity::{AccountId, RegistryId};
use crate::name::{RepositoryName, text_id};

/// Longest ARN in bytes (IAM user guide, `aws:SourceArn` and principals: 2048).
pub const MAX_ARN: usize = 2048;
/// Longest path and name of a user or role in bytes (IAM quotas: path 512, name 64).
const MAX_ENTITY: usize = 512 + 64;

/// Why a text is not an ARN of the kind that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// Not an ARN at all.
    #[error(
        "an ARN is arn:partition:service:region:account:resource, at most {MAX_ARN} bytes of visible ASCII"
    )]
    Arn,
    /// No principal, or one that cannot be named by an ARN.
    #[error("a principal is an account, or the ARN of its root, of a user, a role or an assumed role")]
    Principal,
    /// Not the name of a user, role or session.
    #[error("names of users, roles and sessions consist of letters, digits and +=,.@_-, paths also of /")]
    Entity,
}

/// A resource by its full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    text: String,
    /// Where each part but the first ends in `text`: the place of its colon.
    colons: [usize; 5],
}

impl Arn {
    /// The repository of that name, existing or not. `service` is `ecr` or `ecr-public`; the latter knows no regions.
    pub fn repository(service: &str, registry: &RegistryId, name: &RepositoryName) -> Self {
        let region = if service == "ecr-public" { "" } else { registry.region.as_str() };
        Self::of_parts([
            "arn",
            "aws",
            service,
            region,
            registry.account.as_str(),
            &format!("repository/{name}"),
        ])
    }

    /// What an account has that is no registry's: `root`, or a user, group or role, existing or not, by `kind` and name.
    pub fn principal(account: &AccountId, resource: &str) -> Self {
        Self::of_parts(["arn", "aws", "iam", "", account.as_str(), resource])
    }

    /// Joins parts of which only the last may hold a colon.
    fn of_parts(parts: [&str; 6]) -> Self {
        let text = parts.join(":");
        let mut end = 0;
        let colons = std::array::from_fn(|part| {
            end += parts[part].len() + usize::from(part > 0);
            end
        });
        Self { text, colons }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `arn`, partition, service, region, account, resource. Only the last may hold a colon.
    pub fn parts(&self) -> [&str; 6] {
        split(&self.text, &self.colons)
    }
}

/// The six parts of a text that has the form of an ARN; reads it only, so that a decision need not allocate.
pub fn arn_parts(text: &str) -> Option<[&str; 6]> {
    colons(text).map(|colons| split(text, &colons))
}

fn colons(text: &str) -> Option<[usize; 5]> {
    let visible = text.len() <= MAX_ARN && text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut found = text.bytes().enumerate().filter(|(_, byte)| *byte == b':').map(|(at, _)| at);
    let mut colons = [0; 5];
    for colon in &mut colons {
        *colon = found.next()?;
    }
    (visible && text.starts_with("arn:")).then_some(colons)
}

fn split<'a>(text: &'a str, colons: &[usize; 5]) -> [&'a str; 6] {
    std::array::from_fn(|part| {
        let start = if part == 0 { 0 } else { colons[part - 1] + 1 };
        let end = colons.get(part).copied().unwrap_or(text.len());
        &text[start..end]
    })
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let colons = colons(text).ok_or(ArnError::Arn)?;
        Ok(Self { text: text.to_owned(), colons })
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_id! {
    /// The path and name of a user, group or role, as its ARN has them: `alice`, `team/build/alice`.
    EntityName
}

impl EntityName {
    /// What follows the path; `aws:username` of a user.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What one of its kind in an account has alone: the name without the path, in lower case (IAM user guide, "IAM
    /// names and quotas": names are unique within the account and are not distinguished by case).
    pub fn unique_name(&self) -> String {
        self.name().to_ascii_lowercase()
    }
}

impl FromStr for EntityName {
    type Err = ArnError;

    /// Narrower than IAM, which allows every visible ASCII character in a path: a name is never a pattern.
    fn from_str(text: &str) -> Result<Self, ArnError> {
        let fits = text.len() <= MAX_ENTITY && text.split('/').all(is_word);
        if fits { Ok(Self(text.to_owned())) } else { Err(ArnError::Entity) }
    }
}

/// One component of a name: at most 64 of `[A-Za-z0-9+=,.@_-]`.
fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// A principal that IAM names by an ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalArn {
    /// `arn:aws:iam::<account>:root`. Among a statement's principals it stands for the account.
    Root(AccountId),
    /// `arn:aws:iam::<account>:user/<path and name>`.
    User(AccountId, EntityName),
    /// `arn:aws:iam::<account>:role/<path and name>`.
    Role(AccountId, EntityName),
    /// `arn:aws:sts::<account>:assumed-role/<role, without its path>/<session>`.
    Session(AccountId, SessionName),
}

impl PrincipalArn {
    /// Whose principal it is.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Root(account)
            | Self::User(account, _)
            | Self::Role(account, _)
            | Self::Session(account, _) => account,
        }
    }
}

text_id! {
    /// Somebody who assumed a role: the role's name without its path, and the session's: `deploy/build-17`.
    SessionName
}

impl SessionName {
    /// The session of `role` that is called `session`.
    pub fn new(role: &EntityName, session: &str) -> Result<Self, ArnError> {
        format!("{}/{session}", role.name()).parse()
    }
}

impl FromStr for SessionName {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let fits = text.split_once('/').is_some_and(|(role, session)| is_word(role) && is_word(session));
        if fits { Ok(Self(text.to_owned())) } else { Err(ArnError::Entity) }
    }
}

impl FromStr for PrincipalArn {
    type Err = ArnError;

    /// Also takes the 12 digits of an account, which mean its root (§9.2). Wildcards belong to no name, so no part of
    /// a principal can be one (IAM user guide, "Principal").
    fn from_str(text: &str) -> Result<Self, ArnError> {
        if let Ok(account) = text.parse() {
            return Ok(Self::Root(account));
        }
        let arn: Arn = text.parse()?;
        let [_, partition, service, region, account, resource] = arn.parts();
        let account: AccountId = account.parse().map_err(|_| ArnError::Principal)?;
        if partition != "aws" || !region.is_empty() {
            return Err(ArnError::Principal);
        }
        match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => Ok(Self::Root(account)),
            ("iam", Some(("user", name))) => Ok(Self::User(account, name.parse()?)),
            ("iam", Some(("role", name))) => Ok(Self::Role(account, name.parse()?)),
            ("sts", Some(("assumed-role", name))) => Ok(Self::Session(account, name.parse()?)),
            _ => Err(ArnError::Principal),
        }
    }
}

impl fmt::Display for PrincipalArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(account) => write!(f, "arn:aws:iam::{account}:root"),
            Self::User(account, name) => write!(f, "arn:aws:iam::{account}:user/{name}"),
            Self::Role(account, name) => write!(f, "arn:aws:iam::{account}:role/{name}"),
            Self::Session(account, name) => write!(f, "arn:aws:sts::{account}:assumed-role/{name}"),
        }
    }
}

#[cfg(test)]
#[path = "arn_test.rs"]
mod tests;
