//! Account settings: switches of one registry, by name (ECR specification §13; `PutAccountSetting`).

use cluster_core::record::RegistryDocument;
use cluster_core::state::{self, StateResult};
use cluster_core::view::View;
use proto::identity::RegistryId;
use proto::policy::Extensions;
use serde::Deserialize;

/// Whether blobs are mounted from other repositories.
const BLOB_MOUNTING: &str = "BLOB_MOUNTING";
/// Whether the registry does what ECR does and nothing beyond: ours.
const STRICT: &str = "SHOAL_STRICT";
/// The values of a switch.
const SWITCH: &[&str] = &["DISABLED", "ENABLED"];

/// The settings that there are, each with its values.
pub(crate) const ACCOUNT_SETTINGS: [(&str, &[&str]); 4] = [
    ("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE"]),
    ("REGISTRY_POLICY_SCOPE", &["V2"]),
    (BLOB_MOUNTING, SWITCH),
    (STRICT, SWITCH),
];

/// What is switched on in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountSettings {
    /// Supersets of ECR's languages are refused, pushes make repositories by templates only, and blobs are not mounted
    /// unless that is switched on.
    pub(crate) is_strict: bool,
    /// Blobs that the caller may read are mounted.
    pub(crate) mounts_blobs: bool,
}

impl AccountSettings {
    /// As they are put, or else by default.
    ///
    /// # Errors
    /// The state could not be read.
    pub(crate) fn read<V: View>(view: &V, registry: &RegistryId) -> StateResult<Self, V> {
        let is_strict = put(view, registry, STRICT)?.unwrap_or(false);
        let mounts_blobs = put(view, registry, BLOB_MOUNTING)?.unwrap_or(!is_strict);
        Ok(Self { is_strict, mounts_blobs })
    }

    /// What `name` is if it was not put.
    pub(crate) fn default_of(self, name: &str) -> Option<&'static str> {
        let (_, values) = ACCOUNT_SETTINGS.iter().find(|(known, _)| *known == name)?;
        match name {
            BLOB_MOUNTING => Some(if self.mounts_blobs { "ENABLED" } else { "DISABLED" }),
            _ => values.first().copied(),
        }
    }

    /// Whether documents of the registry may say what ECR's cannot.
    pub(crate) fn extensions(self) -> Extensions {
        if self.is_strict { Extensions::Refused } else { Extensions::Allowed }
    }
}

#[derive(Deserialize)]
struct Stored {
    value: String,
}

/// Whether a switch was put on or off; `None`: it was not put.
fn put<V: View>(view: &V, registry: &RegistryId, name: &str) -> StateResult<Option<bool>, V> {
    let Ok(id) = name.parse() else { return Ok(None) };
    let stored = state::document::document(view, registry, RegistryDocument::AccountSetting, &id)?;
    let stored = stored.and_then(|stored| serde_json::from_str::<Stored>(&stored.text).ok());
    Ok(stored.map(|stored| stored.value == "ENABLED"))
}
