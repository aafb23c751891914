//! GetAuthorizationToken (ECR specification §8.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::ecr::{Failure, Output, Service};
use proto::identity::AccountId;

use super::call::Call;
use super::unavailable;
use crate::auth::AWS_USER;

/// A password for Docker: the caller's, good for every registry that the caller may use, in this region. Old clients
/// name registries; that changes the entries only.
pub(super) fn token(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let tokens = &call.ecr.api.authenticator.tokens;
    let proof = (call.key.as_ref(), call.ends_ms);
    let made = tokens.issue_password(&call.caller, proof, &call.registry.region, call.index);
    let (password, expires_ms) = made.map_err(|error| unavailable(&error))?;
    let token = STANDARD.encode(format!("{AWS_USER}:{password}"));
    let entry =
        || Output::new().with("authorizationToken", token.as_str()).with_time("expiresAt", expires_ms);
    if call.operation.service() == Service::EcrPublic {
        return Ok(Output::new().with("authorizationData", entry()));
    }
    let named: Result<Vec<AccountId>, _> = call.input.texts("registryIds").map(str::parse).collect();
    let mut registries = named.map_err(|error| Failure::invalid_parameter("registryIds", error))?;
    if registries.is_empty() {
        registries.push(call.registry.account.clone());
    }
    let urls: Result<Vec<String>, Failure> =
        registries.iter().map(|account| call.registry_url(account)).collect();
    let entries = urls?.into_iter().map(|url| entry().with("proxyEndpoint", url));
    Ok(Output::new().with_list("authorizationData", entries))
}
