//! What can go wrong while loading a server.
//!
//! Owns the one error type of this crate. A failed operation is counted, not fatal; only what fails
//! while a workload is prepared ends the run.

use hyper::StatusCode;

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The URL given is not plain HTTP to a host and port: fix the command line.
    #[error("not a plain http:// address: {0}")]
    BadAddress(String),
    /// A path, query or header could not be built from what the server or the command line gave.
    #[error("cannot build the request")]
    BadRequest(#[source] hyper::http::Error),
    /// No connection: the server is down or full.
    #[error("cannot connect")]
    Unreachable(#[source] std::io::Error),
    /// The connection broke in the middle of an exchange.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// The server answered with a status that the workload does not expect.
    #[error("unexpected status {status} for {request}")]
    Refused {
        /// What the server said.
        status: StatusCode,
        /// Method and path that were asked.
        request: String,
    },
    /// The answer lacks what the protocol promises: the registry differs from what is measured here.
    #[error("the reply has no usable {0}")]
    BadReply(&'static str),
    /// The operation took longer than the tool waits.
    #[error("the operation took too long")]
    TimedOut,
}

impl LoadError {
    /// The word under which the report counts this error: the status, or the kind.
    pub fn label(&self) -> String {
        match self {
            Self::Refused { status, .. } => status.as_u16().to_string(),
            Self::BadAddress(_) | Self::BadRequest(_) => "bad request".into(),
            Self::Unreachable(_) => "unreachable".into(),
            Self::Broken(_) => "broken connection".into(),
            Self::BadReply(_) => "bad reply".into(),
            Self::TimedOut => "timed out".into(),
        }
    }
}
