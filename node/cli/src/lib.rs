//! The operator's commands of `shoal`: each asks a running node's admin API and shows the answer.
//!
//! Owns arguments, the way to the node, and how answers look. Never touches a data directory and knows
//! nothing of the node's inside: what it can do, anybody can do over HTTP.
//!
//! Exit codes: 0 done, 1 the node refused or could not be reached, 2 wrong arguments.

mod client;
mod commands;
mod output;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;

use client::Access;
use commands::{blob, node, scrub, status, token};
use output::Format;

/// What an operator can ask for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the cluster is doing.
    Status(Options),
    /// Show, drain and remove nodes.
    #[command(subcommand)]
    Node(node::Command),
    /// Show blobs that cannot be read.
    #[command(subcommand)]
    Blob(blob::Command),
    /// Check the stored copies of a node.
    #[command(subcommand)]
    Scrub(scrub::Command),
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
        Command::Blob(command) => blob::run(command),
        Command::Scrub(command) => scrub::run(command),
        Command::Token(command) => token::run(command),
    };
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
