//! Which registry a host name means, and under which name clients reach a registry (design.md §1, ECR specification §8.3).
//!
//! A name of ECR's shape, `<account>.dkr.ecr.<region>.<suffix>`, means the registry that it names, whatever the suffix.
//! An operator may give the names another shape. Every other host means the cluster's default registry.

use std::str::FromStr;

use proto::identity::{AccountId, RegistryId};

use super::public_url::{PublicUrl, is_host};

/// What stands for the account in a template.
const ACCOUNT: &str = "{account}";
/// What stands for the region in a template.
const REGION: &str = "{region}";
/// Digits of an account.
const ACCOUNT_LENGTH: usize = 12;
/// What stands after the account in names of ECR's shape (awslabs/amazon-ecr-credential-helper, `ecr-login/api/client.go`).
const MARKS: [&str; 4] = [".dkr.ecr.", ".dkr-ecr.", ".dkr.ecr-fips.", ".dkr-ecr-fips."];

/// What the names of registries look like: a host with `{account}` and later `{region}`, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostTemplate {
    before: String,
    between: String,
    after: String,
}

/// The text is no such template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoHostTemplate;

impl FromStr for HostTemplate {
    type Err = NoHostTemplate;

    fn from_str(text: &str) -> Result<Self, NoHostTemplate> {
        let (before, rest) = text.split_once(ACCOUNT).ok_or(NoHostTemplate)?;
        let (between, after) = rest.split_once(REGION).ok_or(NoHostTemplate)?;
        // A region may hold digits and hyphens: a dot shows where it begins.
        let fits = between.starts_with('.')
            && between.ends_with('.')
            && after.starts_with('.')
            && is_host(&format!("{before}{}{between}a{after}", "0".repeat(ACCOUNT_LENGTH)))
            && text.bytes().all(|byte| !byte.is_ascii_uppercase());
        let [before, between, after] = [before, between, after].map(str::to_owned);
        if fits { Ok(Self { before, between, after }) } else { Err(NoHostTemplate) }
    }
}

impl HostTemplate {
    fn host(&self, registry: &RegistryId) -> String {
        format!("{}{}{}{}{}", self.before, registry.account, self.between, registry.region, self.after)
    }

    /// Ports are not looked at: they may be mapped on the way.
    fn registry(&self, name: &str) -> Option<RegistryId> {
        let (account, rest) = name.strip_prefix(self.before.as_str())?.split_at_checked(ACCOUNT_LENGTH)?;
        let region = rest.strip_prefix(self.between.as_str())?.strip_suffix(without_port(&self.after))?;
        registry(account, region)
    }
}

/// The names under which clients reach this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// Of the default registry, if an operator says so.
    pub(crate) public_url: Option<PublicUrl>,
    /// Of all registries, if an operator says so.
    pub(crate) template: Option<HostTemplate>,
}

/// How a client came here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came<'a> {
    /// The `Host` of its request, which [`is_host`].
    pub(crate) host: &'a str,
    /// Whether it speaks TLS to this node.
    pub(crate) tls: bool,
}

impl Hosts {
    /// The registry that the host names; `None`: the default one.
    pub(crate) fn registry(&self, host: &str) -> Option<RegistryId> {
        let name = without_port(host).to_ascii_lowercase();
        let template = self.template.as_ref();
        template.and_then(|template| template.registry(&name)).or_else(|| of_shape(&name).map(|(id, _)| id))
    }

    /// `scheme://host` where the client reaches this node: as an operator says, unless it came to a registry by its
    /// name, since clients drop credentials when the host changes (A10); else as its request says (L12).
    pub(crate) fn url(&self, came: Came<'_>) -> String {
        match &self.public_url {
            Some(url) if self.registry(came.host).is_none() => url.to_string(),
            _ => format!("{}://{}", self.scheme(came), came.host),
        }
    }

    /// `scheme://host` of a registry, whose images stand behind it. Names of others than the `default` one are those
    /// of the template, or ECR's shape before the name that the client used, which a DNS record makes good.
    pub(crate) fn url_of(&self, registry: &RegistryId, default: &RegistryId, came: Came<'_>) -> String {
        if let Some(template) = &self.template {
            return format!("{}://{}", self.scheme(came), template.host(registry));
        }
        let used = self.registry(came.host);
        if used.as_ref().unwrap_or(default) == registry {
            return self.url(came);
        }
        let host = came.host.to_ascii_lowercase();
        let suffix = match (of_shape(&host), &self.public_url) {
            (Some((_, suffix)), _) => suffix,
            (None, Some(url)) => url.host(),
            (None, None) => came.host,
        };
        if registry == default {
            return format!("{}://{suffix}", self.scheme(came));
        }
        format!("{}://{}{}{}.{suffix}", self.scheme(came), registry.account, MARKS[0], registry.region)
    }

    fn scheme(&self, came: Came<'_>) -> &'static str {
        let is_tls = match &self.public_url {
            Some(url) => url.is_tls(),
            None => came.tls,
        };
        if is_tls { "https" } else { "http" }
    }
}

/// The registry that a name of ECR's shape means, and what stands behind its region.
fn of_shape(host: &str) -> Option<(RegistryId, &str)> {
    let (account, rest) = host.split_at_checked(ACCOUNT_LENGTH)?;
    let rest = MARKS.iter().find_map(|mark| rest.strip_prefix(mark))?;
    let (region, suffix) = rest.split_once('.').filter(|(_, suffix)| !suffix.is_empty())?;
    Some((registry(account, region)?, suffix))
}

fn registry(account: &str, region: &str) -> Option<RegistryId> {
    Some(RegistryId { account: account.parse::<AccountId>().ok()?, region: region.parse().ok()? })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
#[path = "registry_host_test.rs"]
mod tests;
