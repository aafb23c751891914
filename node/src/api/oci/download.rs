//! `GET /download/<token>`: layers by the addresses that GetDownloadUrlForLayer gives.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::error::OciError;
use super::{Api, Exchange, blob, observe};
use crate::auth::{AuthError, Identity};
use crate::http::server::Connection;

/// A layer, for whoever has an address that GetDownloadUrlForLayer gave.
pub(super) async fn answer(
    State(api): State<Arc<Api>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let work = async {
        let connection =
            parts.extensions.get::<Connection>().ok_or_else(|| OciError::unavailable("no connection"))?;
        let (repository, digest) = {
            let reader = api.registry.metadata.local().map_err(AuthError::Unavailable)?;
            api.authenticator.tokens.verify_download(&reader, &token)?
        };
        let (api, parts, identity) = (&*api, &parts, Identity::ANONYMOUS);
        blob::download(&Exchange { api, parts, connection, identity }, &repository, digest).await
    };
    // Whoever reads a log must not learn the address.
    observe(&api, &parts, "DownloadLayer", "/download", work).await
}
