//! A server that all tests of one binary share.
//!
//! It lives in a `static`, which is never dropped, so a small shell ends it: the shell reads from a pipe that
//! closes when the test process is gone, however it ended.

use std::process::{Command, Stdio};

use crate::server::{Server, ServerOptions};

/// Starts a server that lives as long as this process.
///
/// # Panics
/// As [`Server::start`] does.
pub fn start(options: ServerOptions) -> &'static Server {
    let server: &Server = Box::leak(Box::new(Server::start(options)));
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; kill -9 \"$1\"; rm -rf \"$2\"", "watchdog"]);
    shell.arg(server.pid().to_string()).arg(server.data_dir().parent().expect("a directory above"));
    let watchdog =
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
    // Keeps our end of the pipe open.
    std::mem::forget(watchdog);
    server
}
