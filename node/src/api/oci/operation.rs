//! Method and path of a `/v2/` request, as one operation. Pure.
//!
//! Repository names may contain components such as `blobs` or `tags`, so a path is read from its right
//! end (checklist §1). Percent-encoding is decoded once, before anything is matched; what is matched is
//! what is authorized and what is done.

use axum::http::Method;
use percent_encoding::percent_decode_str;
use proto::digest::Digest;
use proto::name::{Reference, ReferenceError, RepositoryName};
use proto::upload::UploadId;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `GET /v2/`
    Base,
    /// `GET /v2/_catalog`
    Catalog,
    /// `GET /v2/_oci/ext/discover`, of the registry or of a repository.
    Extensions(Option<RepositoryName>),
    /// `GET /v2/<name>/tags/list`
    ListTags(RepositoryName),
    /// `GET /v2/<name>/referrers/<digest>`
    ListReferrers(RepositoryName, Digest),
    /// `GET` or `HEAD /v2/<name>/blobs/<digest>`; with `HEAD`, `head` is set.
    ReadBlob {
        /// Where.
        repository: RepositoryName,
        /// Which.
        digest: Digest,
        /// Without the bytes.
        head: bool,
    },
    /// `DELETE /v2/<name>/blobs/<digest>`
    DeleteBlob(RepositoryName, Digest),
    /// `GET` or `HEAD /v2/<name>/manifests/<reference>`
    ReadManifest(RepositoryName, Reference),
    /// `PUT /v2/<name>/manifests/<reference>`
    PutManifest(RepositoryName, Reference),
    /// `DELETE /v2/<name>/manifests/<reference>`
    DeleteManifest(RepositoryName, Reference),
    /// `POST /v2/<name>/blobs/uploads/`
    StartUpload(RepositoryName),
    /// `GET`, `PATCH`, `PUT`, `DELETE` on an upload session.
    Upload {
        /// Where.
        repository: RepositoryName,
        /// Which; `None` for a text that no session can have.
        id: Option<UploadId>,
        /// What to do.
        verb: UploadVerb,
    },
}

/// What is done to an upload session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadVerb {
    /// `GET`: how far it is.
    Status,
    /// `PATCH`: append.
    Append,
    /// `PUT`: append what there is, then close.
    Finish,
    /// `DELETE`.
    Cancel,
}

/// Why a request is no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoOperation {
    /// Nothing lives at this path.
    NotFound,
    /// Something lives there, which takes only these methods.
    Method(&'static str),
    /// The repository's name is outside the grammar.
    Name,
    /// The digest is malformed or of an unsupported algorithm.
    Digest,
    /// The tag is outside the grammar and would be written.
    Tag,
    /// The tag is outside the grammar and would be read, so nothing has it.
    NoSuchTag,
}

impl Operation {
    /// Reads `path`, the part of the target from `/v2` up to the query, still encoded.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, NoOperation> {
        let path = percent_decode_str(path).decode_utf8().map_err(|_| NoOperation::NotFound)?;
        let path = path.strip_prefix("/v2").ok_or(NoOperation::NotFound)?;
        match path {
            "" | "/" => return only(method, &[Method::GET, Method::HEAD], "GET, HEAD", Self::Base),
            "/_catalog" => return only(method, &[Method::GET], "GET", Self::Catalog),
            "/_oci/ext/discover" => return only(method, &[Method::GET], "GET", Self::Extensions(None)),
            _ => {}
        }
        let path = path.strip_prefix('/').ok_or(NoOperation::NotFound)?;
        let mut parts = path.rsplitn(4, '/');
        let mut next = || parts.next();
        let (last, second, third, rest) = (next(), next(), next(), next());
        match (rest, third, second, last) {
            // A session, and the start of one with its trailing slash.
            (Some(name), Some("blobs"), Some("uploads"), Some("")) => start_upload(method, name),
            (Some(name), Some("blobs"), Some("uploads"), Some(id)) => upload(method, name, id),
            (Some(name), Some("_oci"), Some("ext"), Some("discover")) => {
                let name = repository(name)?;
                only(method, &[Method::GET], "GET", Self::Extensions(Some(name)))
            }
            _ => below_name(method, path),
        }
    }
}

/// Paths of the form `<name>/<collection>/<item>`.
fn below_name(method: &Method, path: &str) -> Result<Operation, NoOperation> {
    let (head, item) = path.rsplit_once('/').ok_or(NoOperation::NotFound)?;
    let (name, collection) = head.rsplit_once('/').ok_or(NoOperation::NotFound)?;
    match (collection, item) {
        ("blobs", "uploads") => start_upload(method, name),
        ("tags", "list") => {
            only(method, &[Method::GET, Method::HEAD], "GET", Operation::ListTags(repository(name)?))
        }
        ("referrers", item) => {
            let repository = repository(name)?;
            let digest = digest(item)?;
            only(method, &[Method::GET], "GET", Operation::ListReferrers(repository, digest))
        }
        ("blobs", item) => blob(method, repository(name)?, item),
        ("manifests", item) => manifest(method, repository(name)?, item),
        _ => Err(NoOperation::NotFound),
    }
}

fn blob(method: &Method, repository: RepositoryName, item: &str) -> Result<Operation, NoOperation> {
    let digest = digest(item)?;
    match *method {
        Method::GET => Ok(Operation::ReadBlob { repository, digest, head: false }),
        Method::HEAD => Ok(Operation::ReadBlob { repository, digest, head: true }),
        Method::DELETE => Ok(Operation::DeleteBlob(repository, digest)),
        _ => Err(NoOperation::Method("GET, HEAD, DELETE")),
    }
}

fn manifest(method: &Method, repository: RepositoryName, item: &str) -> Result<Operation, NoOperation> {
    let write = *method == Method::PUT;
    let reference = item.parse().map_err(|error| match error {
        ReferenceError::Digest(_) => NoOperation::Digest,
        ReferenceError::Tag(_) if write => NoOperation::Tag,
        ReferenceError::Tag(_) => NoOperation::NoSuchTag,
    })?;
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::ReadManifest(repository, reference)),
        Method::PUT => Ok(Operation::PutManifest(repository, reference)),
        Method::DELETE => Ok(Operation::DeleteManifest(repository, reference)),
        _ => Err(NoOperation::Method("GET, HEAD, PUT, DELETE")),
    }
}

fn start_upload(method: &Method, name: &str) -> Result<Operation, NoOperation> {
    only(method, &[Method::POST], "POST", Operation::StartUpload(repository(name)?))
}

fn upload(method: &Method, name: &str, id: &str) -> Result<Operation, NoOperation> {
    let repository = repository(name)?;
    let verb = match *method {
        Method::GET => UploadVerb::Status,
        Method::PATCH => UploadVerb::Append,
        Method::PUT => UploadVerb::Finish,
        Method::DELETE => UploadVerb::Cancel,
        _ => return Err(NoOperation::Method("GET, PATCH, PUT, DELETE")),
    };
    Ok(Operation::Upload { repository, id: id.parse().ok(), verb })
}

fn only(
    method: &Method,
    methods: &[Method],
    allow: &'static str,
    operation: Operation,
) -> Result<Operation, NoOperation> {
    if methods.contains(method) { Ok(operation) } else { Err(NoOperation::Method(allow)) }
}

fn repository(name: &str) -> Result<RepositoryName, NoOperation> {
    name.parse().map_err(|_| NoOperation::Name)
}

fn digest(text: &str) -> Result<Digest, NoOperation> {
    text.parse().map_err(|_| NoOperation::Digest)
}

#[cfg(test)]
#[path = "operation_test.rs"]
mod tests;
