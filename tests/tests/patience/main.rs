//! Hostile inputs that are about time: clients that keep a connection and give, or take, nothing.
//!
//! Rows of `specs/hostile-inputs.md` named in comments. They wait for the server's clock, so they wait
//! together: the first test that runs starts all rows, and each test waits for its own. Each row has a
//! server of its own.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod connections;
mod transfers;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tests::{Server, ServerOptions, shared};

/// The server's 10 s, and what a busy machine adds.
const TEN_SECONDS: Duration = Duration::from_secs(18);

/// All rows, by name.
const ROWS: [(&str, fn()); 10] = [
    ("silent sockets", connections::silent_sockets),
    ("slow head", connections::slow_head),
    ("silent sockets before TLS", connections::silent_sockets_before_tls),
    ("pipeline", connections::pipeline),
    ("dribbled bodies", transfers::dribbled_bodies),
    ("one byte a second", transfers::one_byte_a_second),
    ("continue", transfers::continue_then_silence),
    ("readers", transfers::readers_that_take_nothing),
    ("dribbling readers", transfers::readers_of_one_byte_a_second),
    ("half closed", connections::half_closed),
];

/// Waits for a row and fails as it does.
fn wait_for(name: &str) {
    static RUNNING: LazyLock<Mutex<HashMap<&str, JoinHandle<()>>>> = LazyLock::new(|| {
        Mutex::new(ROWS.into_iter().map(|(name, row)| (name, thread::spawn(row))).collect())
    });
    let row =
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(name).expect("a row of this name");
    if let Err(panic) = row.join() {
        // The row's own output went to the test that started all rows.
        let text = panic.downcast_ref::<String>().map(String::as_str);
        panic!("{}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text"));
    }
}

/// A server whose first login, which costs memory, is done. It ends with the process, like the row's thread.
fn own_server(options: ServerOptions) -> &'static Server {
    let is_plain = !options.tls;
    let server = shared::start(options);
    if is_plain {
        server.root().get("/v2/").send().assert_status(200);
    }
    server
}
