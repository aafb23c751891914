//! `shoal user`: people and machines with credentials of their own.

use std::path::PathBuf;

use clap::Subcommand;
use proto::admin::iam::{IamCall, Kind};

use super::iam::{Within, read_password};
use super::principal::{self, Gone, Name};
use crate::client::ClientError;

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a user; it may nothing until a policy allows it.
    Create {
        /// File with a password to log in with; - is standard input
        #[arg(long, value_name = "FILE")]
        new_password: Option<PathBuf>,
        #[command(flatten)]
        name: Name,
    },
    /// List the users.
    List(Within),
    /// Show a user: its groups, its policies, whether it has a password.
    Show(Name),
    /// Give a user another password, or none, and end its sessions.
    Password {
        /// File with the password; - is standard input; without it no password lets the user in
        #[arg(long, value_name = "FILE", required_unless_present = "remove")]
        new_password: Option<PathBuf>,
        /// No password lets the user in
        #[arg(long, conflicts_with = "new_password")]
        remove: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// End a user's sessions: tokens that it was given are void.
    Logout(Whose),
    /// Put a user into a group, whose policies it has from now on.
    Join {
        #[command(flatten)]
        name: Name,
        /// The group
        #[arg(long, value_name = "NAME")]
        group: String,
    },
    /// Take a user out of a group.
    Leave {
        #[command(flatten)]
        name: Name,
        /// The group
        #[arg(long, value_name = "NAME")]
        group: String,
    },
    /// Delete a user.
    Delete(Gone),
}

/// Of whom it is.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// Path and name; without it, who asks, be it root or a user
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    within: Within,
}

impl Whose {
    fn told(&self) -> String {
        self.name.as_ref().map_or("who asked".to_owned(), |name| format!("user {name}"))
    }
}

pub(crate) fn run(command: Command) -> Result<String, ClientError> {
    match command {
        Command::Create { new_password, name: Name { name, within } } => {
            let password = new_password.as_deref().map(read_password).transpose()?;
            let told = format!("user {name} is created");
            within.change(&IamCall::CreateUser { name, password }, &told)
        }
        Command::List(within) => principal::list(Kind::User, &within),
        Command::Show(name) => principal::show(Kind::User, name),
        Command::Password { new_password, remove: _, whose } => {
            let password = new_password.as_deref().map(read_password).transpose()?;
            let which = if password.is_some() { "another" } else { "no" };
            let told = format!("{} has {which} password", whose.told());
            let Whose { name: user, within } = whose;
            within.change(&IamCall::UpdateLoginProfile { user, password }, &told)
        }
        Command::Logout(whose) => {
            let told = format!("sessions of {} are over", whose.told());
            let Whose { name: user, within } = whose;
            within.change(&IamCall::RevokeSessions { user }, &told)
        }
        Command::Join { name: Name { name: user, within }, group } => {
            let told = format!("user {user} is in group {group}");
            within.change(&IamCall::AddUserToGroup { user, group }, &told)
        }
        Command::Leave { name: Name { name: user, within }, group } => {
            let told = format!("user {user} is not in group {group}");
            within.change(&IamCall::RemoveUserFromGroup { user, group }, &told)
        }
        Command::Delete(gone) => principal::delete(Kind::User, gone),
    }
}
