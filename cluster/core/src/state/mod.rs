//! The replicated state: what each command does to it, and what can be asked of it.
//!
//! [`apply`] is total and deterministic: it reads nothing but the view and the batch. A refused command is
//! a [`Response`]; an error means that this node's storage is broken and the node must stop. Each command
//! makes all its checks before its first change, so a refused one changes nothing. Queries are functions
//! of a view, in the file of the thing they ask about.

pub mod blob;
pub mod cluster;
pub mod copies;
pub mod document;
pub mod image;
mod layout;
pub mod manifest;
pub mod node;
mod page;
pub mod principal;
pub mod referrer;
mod removal;
pub mod repository;
pub mod tag;
pub mod takeover;
pub mod token;

use manifest::Rows;
pub use page::Page;

use crate::command::{Batch, Command, Response};
use crate::key;
use crate::level;
use crate::record::{LogTimeRecord, Record, RecordError};
use crate::view::{View, ViewMut};

/// The state cannot be read; this node must not go on.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E: std::error::Error + 'static> {
    /// The store failed.
    #[error("the metadata store cannot be read")]
    View(#[source] E),
    /// What the store gave back is not what was written.
    #[error("the metadata value of key {} is damaged", .key.escape_ascii())]
    Damaged {
        /// Of the value.
        key: Vec<u8>,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// Two values contradict each other.
    #[error("the metadata contradicts itself at key {}: {problem}", .key.escape_ascii())]
    Inconsistent {
        /// Where it shows.
        key: Vec<u8>,
        /// What does not fit.
        problem: &'static str,
    },
}

/// Result of anything that reads the state through a view `V`.
pub type StateResult<T, V> = Result<T, StateError<<V as View>::Error>>;

/// When and where in the log a command is applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Log time.
    pub(crate) now_ms: u64,
    /// Of the entry.
    pub(crate) index: u64,
}

/// Applies the batch of the entry at `index`; one response per command.
///
/// # Errors
/// The state could not be read. The view then holds a part of the changes and must be thrown away.
pub fn apply<V: ViewMut>(view: &mut V, index: u64, batch: Batch) -> StateResult<Vec<Response>, V> {
    let before_ms = log_time(view)?;
    let now_ms = before_ms.max(batch.time_ms);
    if now_ms > before_ms {
        write(view, key::LOG_TIME.to_vec(), &LogTimeRecord { time_ms: now_ms });
    }
    let moment = Moment { now_ms, index };
    batch.commands.into_iter().map(|command| apply_one(view, moment, command)).collect()
}

fn apply_one<V: ViewMut>(view: &mut V, moment: Moment, command: Command) -> StateResult<Response, V> {
    if let Some(refused) = not_yet(view, &command)? {
        return Ok(refused);
    }
    match command {
        Command::InitCluster(init) => cluster::init(view, &init),
        Command::RegisterNodeKey(register) => cluster::register_node_key(view, &register),
        Command::CommitBlob(commit) => blob::commit(view, moment, &commit),
        Command::MountBlob(mount) => blob::mount(view, moment, &mount),
        Command::RenewLease { digest } => blob::renew_lease(view, moment, &digest),
        Command::UnlinkBlob { repository, digest } => blob::unlink(view, &repository, &digest),
        Command::DropBlob { digest, generation } => blob::drop_unused(view, moment, &digest, generation),
        Command::PutManifest(put) => manifest::put(view, moment, *put, Rows::Untouched),
        Command::DeleteManifest { repository, digest } => {
            manifest::delete(view, &repository, &digest, Rows::Untouched)
        }
        Command::DeleteTag { repository, tag } => tag::delete(view, &repository, &tag),
        Command::Node(command) => node::apply(view, moment, *command),
        Command::ConfirmCopies(confirm) => copies::confirm(view, &confirm),
        Command::RecountCopies { limit } => copies::recount(view, limit),
        Command::Principal(command) => principal::apply(view, moment, *command),
        Command::Image(command) => image::apply(view, moment, *command),
        Command::Repository(command) => repository::apply(view, moment, *command),
    }
}

/// The answer to a command that not all nodes know.
///
/// # Errors
/// The state could not be read.
pub fn not_yet<V: View>(view: &V, command: &Command) -> StateResult<Option<Response>, V> {
    let needed = command.level();
    if needed == level::FIRST {
        return Ok(None);
    }
    let level = node::level(view)?;
    Ok((needed > level).then_some(Response::NotYet { needed, level }))
}

/// The largest time any batch carried, milliseconds since 1970; 0 before the first.
///
/// # Errors
/// The state could not be read.
pub fn log_time<V: View>(view: &V) -> StateResult<u64, V> {
    Ok(read::<LogTimeRecord, V>(view, key::LOG_TIME)?.map_or(0, |record| record.time_ms))
}

/// The record at `key`, if there is one.
fn read<R: Record, V: View>(view: &V, key: &[u8]) -> StateResult<Option<R>, V> {
    let value = view.get(key).map_err(StateError::View)?;
    value.map(|value| decode(key, &value)).transpose()
}

fn decode<R: Record, E: std::error::Error>(key: &[u8], value: &[u8]) -> Result<R, StateError<E>> {
    R::decode(value).map_err(|source| StateError::Damaged { key: key.to_vec(), source })
}

fn write<R: Record>(view: &mut impl ViewMut, key: Vec<u8>, record: &R) {
    view.put(key, record.encode());
}

fn inconsistent<E: std::error::Error>(key: Vec<u8>, problem: &'static str) -> StateError<E> {
    StateError::Inconsistent { key, problem }
}

#[cfg(test)]
mod state_test;
