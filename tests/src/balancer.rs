//! A load balancer in front of several nodes: nginx, which sends each request to the next one and knows of no
//! sessions, as the simplest set-up that operators make.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::Client;
use crate::process::Daemon;
use crate::sandbox::locate;
use crate::server::Server;
use crate::wait::wait_for;

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Balancer {
    host: String,
    user: &'static str,
    password: String,
    // Only held.
    _daemon: Daemon,
    _directory: TempDir,
}

impl Balancer {
    /// In front of `nodes`, which share root's password.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(nodes: &[Server]) -> Self {
        let directory = TempDir::with_prefix("balancer-").expect("a folder");
        let host = format!("127.0.0.1:{}", crate::cluster::free_port());
        let place = directory.path();
        fs::write(place.join("nginx.conf"), configuration(&host, nodes)).expect("a file");
        let mut command = Command::new(locate("nginx"));
        command.arg("-p").arg(place).arg("-c").arg(place.join("nginx.conf")).args(["-e", "stderr"]);
        let log = place.join("log");
        let mut daemon = Daemon::spawn(&mut command, &log, &log).expect("nginx starts");
        wait_for("the proxy to answer", PATIENCE, || {
            if let Ok(Some(status)) = daemon.ended() {
                panic!("nginx ended with {status}\n{}", daemon.tail());
            }
            let answer = Client::anonymous(&host).get("/healthz").try_send();
            answer.map(drop).map_err(|error| error.to_string())
        });
        let (user, password) = (nodes[0].user(), nodes[0].password().to_owned());
        Self { host, user, password, _daemon: daemon, _directory: directory }
    }

    /// `address:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A client with root's password.
    pub fn root(&self) -> Client {
        Client::basic(&self.host, self.user, &self.password)
    }
}

/// One worker, since each has a turn of its own; nothing is stored on the way; nothing is tried twice, so that
/// the answer of each node shows.
fn configuration(host: &str, nodes: &[Server]) -> String {
    let mut upstream = String::new();
    for node in nodes {
        let _ = write!(upstream, "server {} max_fails=0; ", node.host());
    }
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; user root;
        events {{ worker_connections 1024; }}
        http {{
          access_log off;
          client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          upstream nodes {{ {upstream} }}
          server {{
            listen {host};
            client_max_body_size 0;
            location / {{
              proxy_pass http://nodes;
              proxy_set_header Host $http_host;
              proxy_http_version 1.1;
              proxy_request_buffering off;
              proxy_buffering off;
              proxy_next_upstream off;
            }}
          }}
        }}"
    )
}
