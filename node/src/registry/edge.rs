//! What an edge may answer when it is cut off (consistency promises 20 to 22).
//!
//! An edge follows the log without a vote and answers from its own state: a consistent prefix, which never goes
//! back. Whether that state is current is asked of the leader, for each read of a name and every second beside
//! that; the time since the last *yes* is the age of what it knows. Owns that age and the decision; knows
//! nothing of HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cluster::{Metadata, ReadError, StorageError};
use cluster_core::record::NodeKind;
use cluster_core::state::{self, StateError};
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

/// For the leader to confirm that this node's state is current (promise 21).
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two questions that nobody else asks.
const PERIOD: Duration = Duration::from_secs(1);

/// What the site of an edge allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Whether names are answered at all without contact.
    pub(crate) stale_tags: bool,
    /// How long after the last contact they are.
    pub(crate) max_stale: Duration,
    /// How long after the last contact policies hold; 0: never without contact.
    pub(crate) max_policy_age: Duration,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Content by digest: exact, or absent.
    Content,
    /// A tag or a listing, which may be old.
    Name,
    /// A change, which only the leader can make.
    Change,
}

/// Who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Anybody.
    Public,
    /// Who the policies say.
    Private,
}

/// How true the answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// As true as any node's.
    Current,
    /// As it was so long ago, at the latest.
    Stale(Duration),
}

/// The edge is cut off, and may not answer this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this edge cannot reach the cluster")]
pub(crate) struct CutOff;

/// When this node last knew that its state is current.
#[derive(Debug)]
struct Contact {
    at: Instant,
    /// Age of the state at that moment: not zero only before the first contact of this process.
    age: Duration,
}

/// This node as an edge. Clones share it.
#[derive(Clone)]
pub(crate) struct Edge {
    metadata: Metadata,
    limits: Limits,
    contact: Arc<Mutex<Contact>>,
}

impl Edge {
    /// `None` if `node` is none. From now on its state survives a crash as it was shown (I20).
    ///
    /// # Errors
    /// The state could not be read.
    pub(crate) fn of(metadata: &Metadata, node: NodeId, limits: Limits) -> Result<Option<Self>, ReadError> {
        let failed = |error: StateError<StorageError>| ReadError::from(error);
        let reader = metadata.local()?;
        let record = state::node::node(&reader, node).map_err(failed)?;
        if record.is_none_or(|record| record.kind != NodeKind::Edge) {
            return Ok(None);
        }
        metadata.keep_view();
        // The last contact of the process before was not earlier than its last entry; after this only the
        // monotonic clock counts.
        let then = Duration::from_millis(state::log_time(&reader).map_err(failed)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let contact = Contact { at: Instant::now(), age: now.saturating_sub(then) };
        Ok(Some(Self { metadata: metadata.clone(), limits, contact: Arc::new(Mutex::new(contact)) }))
    }

    /// Time since this node last knew that its state is current.
    pub(crate) fn age(&self) -> Duration {
        let contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        contact.age.saturating_add(contact.at.elapsed())
    }

    /// Makes the state of this node current for what is wanted, or says how old it is. Takes
    /// half a second at most. Cancel safe.
    ///
    /// # Errors
    /// [`CutOff`]: 503, another node may answer.
    pub(crate) async fn look(&self, wanted: Wanted, audience: Audience) -> Result<Sight, CutOff> {
        if wanted == Wanted::Content && judge(wanted, audience, self.age(), self.limits).is_ok() {
            return Ok(Sight::Current);
        }
        if self.confirm().await {
            return Ok(Sight::Current);
        }
        judge(wanted, audience, self.age(), self.limits)
    }

    /// Whether the state of this node was current when asked; it is then at the index that the leader named.
    async fn confirm(&self) -> bool {
        let asked = Instant::now();
        if !matches!(tokio::time::timeout(PATIENCE, self.metadata.read()).await, Ok(Ok(_))) {
            return false;
        }
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        if contact.at < asked {
            *contact = Contact { at: asked, age: Duration::ZERO };
        }
        true
    }

    /// Keeps the age true while nobody asks, until `stop`. Dropping it loses nothing.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let mut is_linked = true;
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            let was_linked = std::mem::replace(&mut is_linked, self.confirm().await);
            match (was_linked, is_linked) {
                (true, false) => tracing::warn!(age_seconds = self.age().as_secs(), "this edge is cut off"),
                (false, true) => tracing::info!("this edge is linked again"),
                _ => {}
            }
        }
    }
}

/// What may be answered without contact, from a state that is `age` old.
fn judge(wanted: Wanted, audience: Audience, age: Duration, limits: Limits) -> Result<Sight, CutOff> {
    let is_policy_old = limits.max_policy_age.is_zero() || age > limits.max_policy_age;
    match wanted {
        Wanted::Change => Err(CutOff),
        _ if audience == Audience::Private && is_policy_old => Err(CutOff),
        Wanted::Content => Ok(Sight::Current),
        Wanted::Name if limits.stale_tags && age <= limits.max_stale => Ok(Sight::Stale(age)),
        Wanted::Name => Err(CutOff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits() -> Limits {
        Limits { stale_tags: true, max_stale: 2 * HOUR, max_policy_age: HOUR }
    }

    #[test]
    fn names_are_stale_up_to_their_limit_and_only_where_allowed() {
        let name = |age, limits| judge(Wanted::Name, Audience::Public, age, limits);
        assert_eq!(name(HOUR, limits()), Ok(Sight::Stale(HOUR)));
        assert_eq!(name(2 * HOUR, limits()), Ok(Sight::Stale(2 * HOUR)));
        assert_eq!(name(2 * HOUR + Duration::from_millis(1), limits()), Err(CutOff));
        assert_eq!(name(Duration::ZERO, Limits { stale_tags: false, ..limits() }), Err(CutOff));
    }

    #[test]
    fn content_is_served_as_long_as_policies_hold() {
        let content = |audience, age, limits| judge(Wanted::Content, audience, age, limits);
        assert_eq!(content(Audience::Private, HOUR, limits()), Ok(Sight::Current));
        assert_eq!(content(Audience::Private, 2 * HOUR, limits()), Err(CutOff));
        assert_eq!(content(Audience::Public, 9 * HOUR, limits()), Ok(Sight::Current));
        let never = Limits { max_policy_age: Duration::ZERO, ..limits() };
        assert_eq!(content(Audience::Private, Duration::ZERO, never), Err(CutOff));
    }

    #[test]
    fn a_name_that_not_everybody_may_read_ends_with_the_policies() {
        assert_eq!(judge(Wanted::Name, Audience::Private, HOUR * 3 / 2, limits()), Err(CutOff));
        assert_eq!(judge(Wanted::Name, Audience::Private, HOUR, limits()), Ok(Sight::Stale(HOUR)));
    }

    #[test]
    fn nothing_is_changed_without_the_leader() {
        assert_eq!(judge(Wanted::Change, Audience::Public, Duration::ZERO, limits()), Err(CutOff));
    }
}
