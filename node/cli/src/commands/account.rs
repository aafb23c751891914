//! `shoal account`: accounts, each with registries and principals of its own.

use std::path::PathBuf;

use clap::Subcommand;
use proto::admin::iam::{AccountInfo, Accounts, Done, NewAccount, NewRootPassword};

use super::iam;
use crate::Options;
use crate::client::{Client, ClientError};
use crate::output::{columns, render};

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account with a root user; whoever manages the cluster may.
    Create {
        /// 12 digits
        #[arg(value_name = "ACCOUNT", value_parser = iam::account)]
        id: String,
        /// What it is, for people
        #[arg(long, value_name = "NAME")]
        name: String,
        /// File with the password of its root user, which logs in as ACCOUNT/root; - is standard input
        #[arg(long, value_name = "FILE")]
        root_password: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// List all accounts.
    List(Options),
    /// Give the root user of an account another password, and end its sessions.
    RootPassword {
        /// 12 digits
        #[arg(value_name = "ACCOUNT", value_parser = iam::account)]
        id: String,
        /// File with the password; - is standard input
        #[arg(long, value_name = "FILE")]
        root_password: PathBuf,
        #[command(flatten)]
        options: Options,
    },
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create { id, name, root_password, options } => {
            let told = format!("account {id} is created; its root logs in as {id}/root\n");
            let root_password = iam::read_password(&root_password)?;
            let done: Done =
                Client::new(&options.access)?.post("accounts", &NewAccount { id, name, root_password })?;
            Ok(render(options.output, &done, |_| told))
        }
        Command::List(options) => {
            let accounts = list(&Client::new(&options.access)?)?;
            Ok(render(options.output, &accounts, show))
        }
        Command::RootPassword { id, root_password, options } => {
            let wanted = NewRootPassword { root_password: iam::read_password(&root_password)? };
            let done: Done = Client::new(&options.access)?.post(&format!("accounts/{id}/root"), &wanted)?;
            Ok(render(options.output, &done, |_| format!("root of {id} has another password\n")))
        }
    }
}

/// All pages.
fn list(client: &Client) -> Result<Accounts, ClientError> {
    let mut all: Accounts = client.get("accounts")?;
    while let Some(last) = all.accounts.last().filter(|_| all.more) {
        let page: Accounts = client.get(&format!("accounts?after={}", last.id))?;
        all.more = page.more && !page.accounts.is_empty();
        all.accounts.extend(page.accounts);
    }
    Ok(all)
}

fn show(accounts: &Accounts) -> String {
    let row = |account: &AccountInfo| {
        let counts = [account.users, account.groups, account.roles, account.robot_tokens];
        let mut row = vec![account.id.clone(), account.name.clone()];
        row.extend(counts.map(|count| count.to_string()));
        row
    };
    columns(&["ACCOUNT", "NAME", "USERS", "GROUPS", "ROLES", "ROBOTS"], accounts.accounts.iter().map(row))
}
