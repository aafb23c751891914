//! The operator's commands of `shoal`: each asks a running node's admin API and shows the answer.
//!
//! Owns arguments, the way to the node, and how answers look. Never touches a data directory, writes only the
//! files of a backup, and knows
//! nothing of the node's inside: what it can do, anybody can do over HTTP.
//!
//! Exit codes: 0 done, 1 the node refused or could not be reached, 2 wrong arguments.

mod backup_file;
mod client;
mod commands;
mod output;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;

use client::Access;
use commands::{node, status, token};

pub use backup_file::{BackupReader, Counts, FileError};
pub use commands::backup::Command as BackupCommand;
pub use output::{Format, bytes, pairs, render};

/// What an operator can ask for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the cluster is doing.
    Status(Options),
    /// Show, drain and remove nodes.
    #[command(subcommand)]
    Node(node::Command),
    /// Make tokens with which nodes join.
    #[command(subcommand)]
    Token(token::Command),
}

/// How to reach the node, and how to show its answer.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    access: Access,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Runs one command to its exit code; the answer goes to standard output, what went wrong to standard error.
pub fn run(command: Command) -> ExitCode {
    let answer = match command {
        Command::Status(options) => status::show(&options),
        Command::Node(command) => node::run(command),
        Command::Token(command) => token::run(command),
    };
    end(answer)
}

/// As [`run`], for `shoal backup save` and `inspect`.
pub fn run_backup(command: BackupCommand) -> ExitCode {
    end(commands::backup::run(command))
}

fn end<E: std::fmt::Display>(answer: Result<String, E>) -> ExitCode {
    let shown = answer.map(|text| io::stdout().lock().write_all(text.as_bytes()));
    match shown {
        // Whoever closes the pipe has seen enough.
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "shoal: {error}");
            ExitCode::FAILURE
        }
    }
}
