//! Accounts, users and their policies, made by the operator's commands.

use std::process::Output;

use crate::cluster::operate;
use crate::http::Client;
use crate::server::Server;

/// The account that is as old as the cluster.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// A policy of one statement.
pub fn allow(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}}}"#
    )
}

/// Runs a command as root of `account`, whose password is that of the node's root.
fn command(node: &Server, account: &str, arguments: &[&str]) -> Output {
    let user = format!("{account}/root");
    operate(node, &[arguments, &["--user", &user]].concat())
}

/// What the command printed.
///
/// # Panics
/// When it fails.
pub fn done(node: &Server, account: &str, arguments: &[&str]) -> String {
    let output = command(node, account, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "shoal {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Why the command was refused.
///
/// # Panics
/// When it was not.
pub fn refused(node: &Server, account: &str, arguments: &[&str]) -> String {
    let output = command(node, account, arguments);
    assert!(!output.status.success(), "shoal {arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file beside the node's with that text: its path.
///
/// # Panics
/// When it cannot be written.
pub fn file(node: &Server, name: &str, text: &str) -> String {
    let path = node.file(name);
    if let Err(error) = std::fs::write(&path, text) {
        panic!("{}: {error}", path.display());
    }
    path.display().to_string()
}

/// Makes an account, whose root has the password of the node's root.
pub fn create_account(node: &Server, account: &str) {
    let password = file(node, "account-password", node.password());
    done(
        node,
        DEFAULT_ACCOUNT,
        &["account", "create", account, "--name", "other", "--root-password", &password],
    );
}

/// Makes a user with a password; who logs in with it.
pub fn create_user(node: &Server, account: &str, name: &str) -> Client {
    let password = format!("the password of {name}");
    let path = file(node, "user-password", &password);
    done(node, account, &["user", "create", name, "--new-password", &path]);
    Client::basic(node.host(), &format!("{account}/{name}"), &password)
}

/// Gives a policy to `user/NAME`, `group/NAME` or `role/NAME`.
pub fn put_policy(node: &Server, account: &str, of: &str, name: &str, text: &str) {
    let path = file(node, "policy", text);
    done(node, account, &["policy", "put", name, "--of", of, "--file", &path]);
}
