//! The way to a node: its URL, who asks, and one request.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use proto::admin::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, SendBody};

/// One request may take this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// All of an answer that is streamed may take this long.
const STREAM_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The node was not reached, or the connection broke.
    #[error("{url} cannot be reached: {source}")]
    Unreachable {
        /// The node.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// The node said no.
    #[error("{message}")]
    Refused {
        /// In its words.
        message: String,
    },
    /// The answer is not one of a Shoal node of about this release.
    #[error("{url} does not answer as a Shoal node does ({problem})")]
    Foreign {
        /// The node.
        url: String,
        /// What came.
        problem: String,
    },
    /// An answer that ended early, or is not what was asked for.
    #[error("{what} did not come whole: {problem}")]
    Broken {
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that an option names.
    #[error("{} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No password was given.
    #[error("a password is needed: give --password-file, or set SHOAL_PASSWORD")]
    NoPassword,
    /// Waited for as long as was allowed.
    #[error("not done in time: {0}; it goes on, run the command again to wait on")]
    NotInTime(String),
    /// A certificate file without a certificate.
    #[error("{} holds no certificate (PEM)", .0.display())]
    NoCertificate(PathBuf),
}

impl ClientError {
    /// See [`crate::EXIT_CODES`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 3,
            Self::NotInTime(_) => 4,
            _ => 1,
        }
    }
}

/// Which node is asked, and by whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// URL of any node
    #[arg(long, env = "SHOAL_URL", default_value = "http://127.0.0.1:5000", value_name = "URL")]
    url: String,
    /// Who asks
    #[arg(long, env = "SHOAL_USER", default_value = "root", value_name = "NAME")]
    user: String,
    /// File with the password; without it SHOAL_PASSWORD is taken
    #[arg(long, env = "SHOAL_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Certificate (PEM) that the node's is signed with, if no public authority did
    #[arg(long, env = "SHOAL_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A node that can be asked.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Client {
    /// Reads the files that `access` names; connects to nobody yet.
    pub(crate) fn new(access: &Access) -> Result<Self, ClientError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| ClientError::File { path: path.clone(), source })
        };
        let password = match &access.password_file {
            Some(path) => String::from_utf8_lossy(&read(path)?).trim_end_matches(['\r', '\n']).to_owned(),
            None => std::env::var("SHOAL_PASSWORD").map_err(|_| ClientError::NoPassword)?,
        };
        let mut config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None);
        if let Some(path) = &access.ca_file {
            let certificate =
                Certificate::from_pem(&read(path)?).map_err(|_| ClientError::NoCertificate(path.clone()))?;
            let roots = RootCerts::new_with_certs(&[certificate]);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            url: access.url.trim_end_matches('/').to_owned(),
            authorization: basic(&access.user, &password),
        })
    }

    /// Reads what is at `path`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, SendBody::none())
    }

    /// Sends `document` to `path`.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = SendBody::from_json(document).map_err(|source| self.unreachable(source))?;
        self.send(Method::POST, path, body)
    }

    /// Removes what is at `path`.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::DELETE, path, SendBody::none())
    }

    /// Reads what is at `path` as it comes.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + use<>, ClientError> {
        let request = self.request(Method::GET, path, SendBody::none())?;
        let request = self.agent.configure_request(request).timeout_global(Some(STREAM_PATIENCE)).build();
        let mut answer = self.agent.run(request).map_err(|source| self.unreachable(source))?;
        if answer.status().is_success() {
            return Ok(answer.into_body().into_with_config().limit(u64::MAX).reader());
        }
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        Err(self.refusal(answer.status(), &body.map_err(|source| self.unreachable(source))?))
    }

    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: SendBody<'_>,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path, body)?;
        let mut answer = self.agent.run(request).map_err(|source| self.unreachable(source))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|source| self.unreachable(source))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.foreign(error.to_string()));
        }
        Err(self.refusal(status, &body))
    }

    fn request<'a>(
        &self,
        method: Method,
        path: &str,
        body: SendBody<'a>,
    ) -> Result<Request<SendBody<'a>>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/{path}", self.url))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json");
        request.body(body).map_err(|error| self.foreign(error.to_string()))
    }

    /// What an answer that is no success says.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ClientError::Refused { message: problem.message },
            Err(_) if status == StatusCode::UNAUTHORIZED => {
                ClientError::Refused { message: "user or password is wrong".to_owned() }
            }
            Err(_) => self.foreign(format!("HTTP {status}")),
        }
    }

    fn foreign(&self, problem: String) -> ClientError {
        ClientError::Foreign { url: self.url.clone(), problem }
    }

    fn unreachable(&self, source: ureq::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), source: Box::new(source) }
    }
}

/// Basic credentials (RFC 7617).
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let joined = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(joined))
}
