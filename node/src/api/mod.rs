//! HTTP dialects over one set of use cases.

pub(crate) mod admin;
pub(crate) mod body;
pub(crate) mod ecr;
pub(crate) mod oci;

use crate::auth::decider::Client;
use crate::http::server::Connection;

impl From<&Connection> for Client {
    fn from(connection: &Connection) -> Self {
        Self { address: connection.remote.ip(), tls: connection.tls, request: connection.request }
    }
}
