//! `shoal key`: the access keys of root, for clients of ECR's API.

use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use proto::admin::{AccessKey, AccessKeyInfo, AccessKeys, Revoked};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{columns, pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an access key and print it with its secret, which is not shown again; there are two at most.
    Create(Options),
    /// List the access keys, without their secrets.
    List(Options),
    /// Let an access key count for nothing until it is enabled.
    Disable(Named),
    /// Let an access key count again.
    Enable(Named),
    /// Make an access key worthless for good.
    Delete(Named),
}

/// Which key.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Id of the key, as `shoal key list` shows it
    #[arg(value_name = "KEY")]
    id: String,
    #[command(flatten)]
    options: Options,
}

impl Named {
    /// Nothing that could be another path.
    fn path(&self) -> String {
        let is_id = !self.id.is_empty() && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        format!("keys/{}", if is_id { self.id.as_str() } else { "-" })
    }
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create(options) => {
            let key: AccessKey = Client::new(&options.access)?.post("keys", &())?;
            let show =
                |key: &AccessKey| pairs([("access key", key.id.clone()), ("secret", key.secret.clone())]);
            Ok(render(options.output, &key, show))
        }
        Command::List(options) => {
            let keys: AccessKeys = Client::new(&options.access)?.get("keys")?;
            Ok(render(options.output, &keys, |keys| list(&keys.keys)))
        }
        Command::Disable(named) => set(&named, "disable"),
        Command::Enable(named) => set(&named, "enable"),
        Command::Delete(named) => {
            let deleted: Revoked = Client::new(&named.options.access)?.delete(&named.path())?;
            Ok(render(named.options.output, &deleted, |deleted| format!("{} is deleted\n", deleted.id)))
        }
    }
}

fn set(named: &Named, what: &str) -> Result<String, ClientError> {
    let path = format!("{}/{what}", named.path());
    let key: AccessKeyInfo = Client::new(&named.options.access)?.post(&path, &())?;
    Ok(render(named.options.output, &key, |key| list(std::slice::from_ref(key))))
}

fn list(keys: &[AccessKeyInfo]) -> String {
    let row = |key: &AccessKeyInfo| {
        let created = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(key.created_ms));
        let state = if key.is_active { "active" } else { "disabled" };
        vec![key.id.clone(), state.to_owned(), created.to_string()]
    };
    columns(&["KEY", "STATE", "CREATED"], keys.iter().map(row))
}
