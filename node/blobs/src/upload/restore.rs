//! Sessions across restarts: a small description beside the data, read again when the store opens.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::session::{Session, remove_files};
use super::{UploadOwner, Uploads};
use crate::clock::Clock;
use crate::error::BlobError;
use crate::path::{self, Layout};
use crate::store::Inner;
use proto::upload::UploadId;

/// The one version of the description so far.
const VERSION: u32 = 1;

/// Longest description that is read, in bytes; principals and repositories are shorter by far.
const MAX_DESCRIPTION: u64 = 64 * 1024;

/// Content of a `.session` file.
#[derive(Serialize, Deserialize)]
struct Description {
    version: u32,
    principal: String,
    repository: String,
    algorithm: String,
}

/// Writes the description of a new session. Not fsynced: see promise 11.
pub(super) fn describe(inner: &Inner, session: &Session) -> Result<(), BlobError> {
    inner.volume.check()?;
    let path = &session.paths.session;
    let description = Description {
        version: VERSION,
        principal: session.owner.principal.clone(),
        repository: session.owner.repository.clone(),
        algorithm: session.algorithm.name().to_owned(),
    };
    let text = serde_json::to_vec(&description).map_err(io::Error::from);
    let text = text.map_err(BlobError::io("describe", path))?;
    inner.volume.claim_space(text.len() as u64)?;
    fs::write(path, text).map_err(BlobError::io("write", path))
}

impl Uploads {
    /// Finds the sessions of an earlier process, and removes what a crash left of others.
    pub(crate) fn restore(layout: &Layout, clock: &Clock) -> io::Result<Self> {
        let mut sessions = Vec::new();
        let mut others = Vec::new();
        for entry in fs::read_dir(layout.uploads())? {
            let name = entry?.file_name();
            match path::parse_session(&name) {
                Some(id) => sessions.extend(restore_session(layout, clock, id)),
                None => others.push(name),
            }
        }
        let uploads = Self::new(sessions);
        for name in others {
            match path::parse_upload_part(&name) {
                Some(id) if uploads.get(id).is_some() => {}
                Some(id) => remove_files(&layout.session(id)),
                None if path::parse_incoming(&name).is_some() => {}
                // Who sent it has no way to go on with it.
                None if path::parse_ahead(&name).is_some() => {
                    _ = fs::remove_file(layout.uploads().join(&name));
                }
                None => tracing::warn!(name = %name.display(), "foreign file among the uploads"),
            }
        }
        Ok(uploads)
    }
}

/// `None` if it cannot go on; its files are then removed.
fn restore_session(layout: &Layout, clock: &Clock, id: UploadId) -> Option<Session> {
    let paths = layout.session(id);
    let restored = read_description(&paths.session).and_then(|(owner, algorithm)| {
        let (offset, modified) = data_state(&paths.data, &paths.session)?;
        let idle = SystemTime::now().duration_since(modified).unwrap_or(Duration::ZERO);
        Ok(Session::restored(id, owner, algorithm, paths.clone(), offset, (clock.now(), idle)))
    });
    restored
        .inspect_err(|error| {
            tracing::warn!(upload = %id, %error, "an upload cannot be resumed: removed");
            remove_files(&paths);
        })
        .ok()
}

fn read_description(path: &Path) -> io::Result<(UploadOwner, proto::digest::Algorithm)> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() > MAX_DESCRIPTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let description: Description = serde_json::from_slice(&fs::read(path)?)?;
    if description.version != VERSION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let algorithm = description.algorithm.parse().map_err(io::Error::other)?;
    let owner = UploadOwner { principal: description.principal, repository: description.repository };
    Ok((owner, algorithm))
}

/// Bytes received, and when the last ones came. A session without data has not got any yet.
fn data_state(data: &Path, session: &Path) -> io::Result<(u64, SystemTime)> {
    match fs::symlink_metadata(data) {
        Ok(found) if found.is_file() => Ok((found.len(), found.modified()?)),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((0, fs::symlink_metadata(session)?.modified()?))
        }
        Err(error) => Err(error),
    }
}
