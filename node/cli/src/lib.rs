//! The operator's commands of `shoal`: each asks a running node's admin API and shows the answer.
//!
//! Owns arguments, the way to the node, and how answers look. Never touches a data directory, writes only the
//! files of a backup, and knows
//! nothing of the node's inside: what it can do, anybody can do over HTTP.
//!
//! Exit codes: see [`EXIT_CODES`].

mod backup_file;
mod client;
mod commands;
mod output;
mod size;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Subcommand;

use client::{Access, ClientError};
use commands::{
    account, audit, blob, group, key, layout, node, policy, robot, role, scrub, secrets, status, token, user,
};

pub use backup_file::{BackupReader, Counts, FileError};
use commands::backup::BackupError;
pub use commands::backup::Command as BackupCommand;
pub use output::{Format, bytes, pairs, render};

/// What an operator can ask for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the cluster is doing.
    Status(Watched),
    /// Show, drain, replace, pin and remove nodes.
    #[command(subcommand)]
    Node(node::Command),
    /// Show blobs that cannot be read.
    #[command(subcommand)]
    Blob(blob::Command),
    /// Check the stored copies of a node.
    #[command(subcommand)]
    Scrub(scrub::Command),
    /// Make, list and revoke tokens with which nodes join.
    #[command(subcommand)]
    Token(token::Command),
    /// Make and list accounts, each with registries and principals of its own.
    #[command(subcommand)]
    Account(account::Command),
    /// Make, show and delete users; passwords, groups, sessions.
    #[command(subcommand)]
    User(user::Command),
    /// Make, show and delete groups of users.
    #[command(subcommand)]
    Group(group::Command),
    /// Make, show, change and delete roles.
    #[command(subcommand)]
    Role(role::Command),
    /// Say what users, groups and roles may do; try what would be decided.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Show what was changed and denied on a node, the oldest first.
    Audit(audit::Command),
    /// Make, list, disable and delete access keys, which sign requests to ECR's API.
    #[command(subcommand)]
    Key(key::Command),
    /// Make, list and revoke tokens with which machines log in.
    #[command(subcommand)]
    Robot(robot::Command),
    /// Show and rotate the keys that encrypt the secrets of access keys.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Show what a change of the nodes would move, and make it.
    #[command(subcommand)]
    Layout(layout::Command),
    /// Print a script that completes commands, for `eval` or a file that the shell reads
    Completions {
        /// For which shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

/// For `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused, with the reason on standard error; 2 wrong \
    arguments or configuration; 3 the node could not be reached; 4 not done in time, and going on.";

/// How to reach the node, and how to show its answer.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    access: Access,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// An answer that can be asked for again and again.
#[derive(Debug, clap::Args)]
pub struct Watched {
    /// Ask again after this time until interrupted; 2s if no time is given
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_name = "TIME",
        value_parser = humantime::parse_duration)]
    watch: Option<std::time::Duration>,
    #[command(flatten)]
    options: Options,
}

impl Watched {
    /// The answer; with `--watch`, shows all but the one that fails.
    fn run(&self, ask: impl Fn(&Options) -> Result<String, ClientError>) -> Result<String, ClientError> {
        let Some(pause) = self.watch else { return ask(&self.options) };
        loop {
            let text = ask(&self.options)?;
            let mut out = io::stdout().lock();
            // Home, and clear what is below.
            let screen = if out.is_terminal() { "\x1b[H\x1b[J" } else { "" };
            if write!(out, "{screen}{text}").and_then(|()| out.flush()).is_err() {
                return Ok(String::new());
            }
            drop(out);
            std::thread::sleep(pause);
        }
    }
}

/// Runs one command to its exit code; the answer goes to standard output, what went wrong to standard error.
///
/// `program`: all of its commands, for completions.
pub fn run(command: Command, mut program: clap::Command) -> ExitCode {
    let answer = match command {
        Command::Status(watched) => watched.run(status::show),
        Command::Node(command) => node::run(command),
        Command::Blob(command) => blob::run(command),
        Command::Scrub(command) => scrub::run(command),
        Command::Token(command) => token::run(command),
        Command::Account(command) => account::run(command),
        Command::User(command) => user::run(command),
        Command::Group(command) => group::run(command),
        Command::Role(command) => role::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Audit(command) => audit::run(&command),
        Command::Key(command) => key::run(command),
        Command::Robot(command) => robot::run(command),
        Command::Secrets(command) => secrets::run(command),
        Command::Layout(command) => layout::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program, "shoal", &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
    };
    end(answer, ClientError::exit_code)
}

/// As [`run`], for `shoal backup save` and `inspect`.
pub fn run_backup(command: BackupCommand) -> ExitCode {
    end(commands::backup::run(command), BackupError::exit_code)
}

fn end<E: std::fmt::Display>(answer: Result<String, E>, code: impl Fn(&E) -> u8) -> ExitCode {
    let shown = answer.map(|text| io::stdout().lock().write_all(text.as_bytes()));
    match shown {
        // Whoever closes the pipe has seen enough.
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "shoal: {error}");
            ExitCode::from(code(&error))
        }
    }
}
