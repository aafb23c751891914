//! `shoal secrets`: the keys that encrypt the secrets of access keys. The keys themselves are never shown.

use clap::Subcommand;
use proto::admin::secrets::{Rotated, SecretKey, SecretKeys};

use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{columns, pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys that the node at --url has, the newest first, and how many access keys each encrypts.
    List(Options),
    /// Make a new key on all full nodes, and encrypt the secrets of all access keys with it.
    ///
    /// The access keys stay as they are. A rotation that was cut off is ended by the next one, which makes no other key
    /// then. Old keys stay in the files of the nodes, for sessions of STS that were begun with
    /// them and for backups.
    Rotate(Options),
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::List(options) => {
            let keys: SecretKeys = Client::new(&options.access)?.get("secrets")?;
            Ok(render(options.output, &keys, table))
        }
        Command::Rotate(options) => {
            let rotated: Rotated = Client::new(&options.access)?.post("secrets", &())?;
            Ok(render(options.output, &rotated, |rotated| {
                pairs([
                    (
                        if rotated.is_new { "new key" } else { "key of a rotation before" },
                        rotated.key.clone(),
                    ),
                    ("access keys encrypted anew", rotated.access_keys.to_string()),
                    ("access keys that cannot be read", rotated.damaged.to_string()),
                ])
            }))
        }
    }
}

fn table(keys: &SecretKeys) -> String {
    let row = |key: &SecretKey| vec![key.key.clone(), key.access_keys.to_string()];
    columns(&["KEY", "ACCESS KEYS"], keys.keys.iter().map(row))
}
