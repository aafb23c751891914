//! `shoal key`: access keys, for clients of ECR's API.

use clap::Subcommand;
use proto::admin::iam::{AccessKey, AccessKeyInfo, AccessKeys, IamCall};

use super::iam::{Within, time};
use crate::client::ClientError;
use crate::output::{columns, pairs, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an access key and print it with its secret, which is not shown again; a principal has two at most.
    Create(Owner),
    /// List the access keys, without their secrets.
    List(Owner),
    /// Let an access key count for nothing until it is enabled.
    Disable(Named),
    /// Let an access key count again.
    Enable(Named),
    /// Make an access key worthless for good.
    Delete(Named),
}

/// Whose it is.
#[derive(Debug, clap::Args)]
pub struct Owner {
    /// Of this user; without it, of who asks
    #[arg(long, value_name = "USER")]
    of: Option<String>,
    #[command(flatten)]
    within: Within,
}

/// Which key.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Id of the key, as `shoal key list` shows it
    #[arg(value_name = "KEY")]
    id: String,
    #[command(flatten)]
    owner: Owner,
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create(Owner { of: user, within }) => {
            let key: AccessKey = within.call(&IamCall::CreateAccessKey { user })?;
            let show =
                |key: &AccessKey| pairs([("access key", key.id.clone()), ("secret", key.secret.clone())]);
            Ok(render(within.options.output, &key, show))
        }
        Command::List(Owner { of: user, within }) => {
            let keys: AccessKeys = within.call(&IamCall::ListAccessKeys { user })?;
            Ok(render(within.options.output, &keys, |keys| list(&keys.keys)))
        }
        Command::Disable(named) => set(named, false),
        Command::Enable(named) => set(named, true),
        Command::Delete(Named { id, owner: Owner { of: user, within } }) => {
            let told = format!("{id} is deleted");
            within.change(&IamCall::DeleteAccessKey { user, id }, &told)
        }
    }
}

fn set(named: Named, is_active: bool) -> Result<String, ClientError> {
    let Named { id, owner: Owner { of: user, within } } = named;
    let told = format!("{id} is {}", if is_active { "active" } else { "disabled" });
    within.change(&IamCall::UpdateAccessKey { user, id, is_active }, &told)
}

fn list(keys: &[AccessKeyInfo]) -> String {
    let row = |key: &AccessKeyInfo| {
        let state = if key.is_active { "active" } else { "disabled" };
        vec![key.id.clone(), state.to_owned(), time(key.created_ms)]
    };
    columns(&["KEY", "STATE", "CREATED"], keys.iter().map(row))
}
