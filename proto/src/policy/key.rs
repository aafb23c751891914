//! Condition keys: what of a request a policy may ask about.
//!
//! Owns their names (ECR specification §9.1; IAM user guide, "Global condition context keys"). Names have no case, the
//! keys of tags inside them neither (IAM user guide, `aws:ResourceTag/tag-key`).

use std::fmt;
use std::str::FromStr;

/// Longest key of a tag in characters (ECR API, TagKey).
pub const MAX_TAG_KEY: usize = 128;

/// Why a text is no condition key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a condition key")]
pub struct KeyError(String);

/// What a condition or a variable asks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionKey {
    /// `aws:CurrentTime`: RFC 3339.
    CurrentTime,
    /// `aws:EpochTime`: seconds since 1970.
    EpochTime,
    /// `aws:PrincipalAccount`: the caller's account.
    PrincipalAccount,
    /// `aws:PrincipalArn`: root, user, or the role whose session the caller is.
    PrincipalArn,
    /// `aws:PrincipalOrgID`: the organization of the caller's account.
    PrincipalOrgId,
    /// `aws:PrincipalType`: Account, User, AssumedRole, Anonymous or Service.
    PrincipalType,
    /// `aws:SecureTransport`: whether the client came over TLS.
    SecureTransport,
    /// `aws:SourceAccount`: on whose behalf a service asks.
    SourceAccount,
    /// `aws:SourceArn`: for which resource a service asks.
    SourceArn,
    /// `aws:SourceIp`: the client's address.
    SourceIp,
    /// `aws:TagKeys`: the keys of the tags in the request; the one key with many values.
    TagKeys,
    /// `aws:userid`: an id that is never used again.
    UserId,
    /// `aws:username`: a user's name without its path; absent for all others.
    UserName,
    /// `ecr:AccountSetting`: the name of the setting that is read or written.
    AccountSetting,
    /// `shoal:ImageTag`: the tag that is read, moved or removed.
    ImageTag,
    /// `shoal:ScanStatus`: what the last scan of the image ended with.
    ScanStatus,
    /// `shoal:ImageSigned`: whether the image has a valid signature.
    ImageSigned,
    /// `aws:ResourceTag/…` and `ecr:ResourceTag/…`: a tag of the resource.
    ResourceTag(String),
    /// `aws:RequestTag/…`: a tag in the request.
    RequestTag(String),
}

/// All keys but the tags.
const NAMED: [(ConditionKey, &str); 17] = [
    (ConditionKey::CurrentTime, "aws:CurrentTime"),
    (ConditionKey::EpochTime, "aws:EpochTime"),
    (ConditionKey::PrincipalAccount, "aws:PrincipalAccount"),
    (ConditionKey::PrincipalArn, "aws:PrincipalArn"),
    (ConditionKey::PrincipalOrgId, "aws:PrincipalOrgID"),
    (ConditionKey::PrincipalType, "aws:PrincipalType"),
    (ConditionKey::SecureTransport, "aws:SecureTransport"),
    (ConditionKey::SourceAccount, "aws:SourceAccount"),
    (ConditionKey::SourceArn, "aws:SourceArn"),
    (ConditionKey::SourceIp, "aws:SourceIp"),
    (ConditionKey::TagKeys, "aws:TagKeys"),
    (ConditionKey::UserId, "aws:userid"),
    (ConditionKey::UserName, "aws:username"),
    (ConditionKey::AccountSetting, "ecr:AccountSetting"),
    (ConditionKey::ImageTag, "shoal:ImageTag"),
    (ConditionKey::ScanStatus, "shoal:ScanStatus"),
    (ConditionKey::ImageSigned, "shoal:ImageSigned"),
];

impl ConditionKey {
    /// Whether a request may have several values for it.
    pub fn has_many_values(&self) -> bool {
        matches!(self, Self::TagKeys)
    }

    /// Whether ECR does not have it.
    pub fn is_extension(&self) -> bool {
        matches!(self, Self::ImageTag | Self::ScanStatus | Self::ImageSigned)
    }
}

impl FromStr for ConditionKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if let Some((key, _)) = NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(key.clone());
        }
        let (family, tag) = text.split_once('/').unwrap_or((text, ""));
        let fits = (1..=MAX_TAG_KEY).contains(&tag.chars().count());
        match family.to_ascii_lowercase().as_str() {
            "aws:resourcetag" | "ecr:resourcetag" if fits => Ok(Self::ResourceTag(tag.to_owned())),
            "aws:requesttag" if fits => Ok(Self::RequestTag(tag.to_owned())),
            _ => Err(KeyError(text.chars().take(MAX_TAG_KEY).collect())),
        }
    }
}

impl fmt::Display for ConditionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResourceTag(tag) => write!(f, "aws:ResourceTag/{tag}"),
            Self::RequestTag(tag) => write!(f, "aws:RequestTag/{tag}"),
            named => {
                let name = NAMED.iter().find(|(key, _)| key == named).map_or("", |(_, name)| name);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_in_any_case_and_written_as_aws_writes_it() {
        for (key, name) in NAMED {
            assert_eq!(name.to_ascii_uppercase().parse().as_ref(), Ok(&key));
            assert_eq!(key.to_string(), name);
        }
        let tag = ConditionKey::ResourceTag("Env/x".into());
        assert_eq!("ECR:resourcetag/Env/x".parse().as_ref(), Ok(&tag));
        assert_eq!(tag.to_string().parse(), Ok(tag));
        assert!(format!("aws:RequestTag/{}", "é".repeat(128)).parse::<ConditionKey>().is_ok());
        for bad in
            ["", "SourceIp", "aws:", "aws:ResourceTag", "aws:ResourceTag/", "s3:prefix", "aws:SourceIp\0"]
        {
            assert_eq!(bad.parse::<ConditionKey>(), Err(KeyError(bad.into())));
        }
        assert!(format!("aws:RequestTag/{}", "a".repeat(129)).parse::<ConditionKey>().is_err());
    }
}
