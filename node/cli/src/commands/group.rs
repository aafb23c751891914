//! `shoal group`: users with policies in common.

use clap::Subcommand;
use proto::admin::iam::{IamCall, Kind};

use super::iam::Within;
use super::principal::{self, Gone, Name};
use crate::client::ClientError;

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a group; `shoal user join` puts users into it.
    Create(Name),
    /// List the groups.
    List(Within),
    /// Show a group: its users, its policies.
    Show(Name),
    /// Delete a group.
    Delete(Gone),
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create(Name { name, within }) => {
            let told = format!("group {name} is created");
            within.change(&IamCall::CreateGroup { name }, &told)
        }
        Command::List(within) => principal::list(Kind::Group, &within),
        Command::Show(name) => principal::show(Kind::Group, name),
        Command::Delete(gone) => principal::delete(Kind::Group, gone),
    }
}
