//! The OCI dialect of one node, endpoint by endpoint: `specs/oci-registry-api.md`, rows named in comments.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod auth;
mod base;
mod blobs;
mod catalog;
mod conditions;
mod deletes;
mod manifests;
mod mounts;
mod ranges;
mod referrers;
mod tags;
mod uploads;
mod uploads_end;
mod validation;
mod warnings;
