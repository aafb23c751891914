//! What operators see: logs, the audit log and metrics. Never a secret in any.

pub(crate) mod audit;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod request_id;
