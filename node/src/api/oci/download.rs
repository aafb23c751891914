//! `GET /download/<token>`: layers by the addresses that GetDownloadUrlForLayer gives.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::{Api, Exchange, blob, observe};
use crate::auth::AuthError;

/// A layer, for whoever has an address that GetDownloadUrlForLayer gave.
pub(super) async fn answer(
    State(api): State<Arc<Api>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let work = async {
        let exchange = Exchange::begin(&api, &parts)?;
        let (repository, digest) = {
            let reader = api.registry.metadata.local().map_err(AuthError::Unavailable)?;
            api.authenticator.tokens.verify_download(&reader, &token)?
        };
        blob::download(&exchange, &repository, digest).await
    };
    // Whoever reads a log must not learn the address.
    observe(&api, &parts, "DownloadLayer", "/download", work).await
}
