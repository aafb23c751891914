//! What operators see: logs and metrics. Never a secret in either.

pub(crate) mod audit;
pub(crate) mod log;
pub(crate) mod metrics;
