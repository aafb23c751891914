//! What this crate takes from the machine: threads that may block, the wall clock, randomness.
//!
//! The feature `simulation` lets one thread replace these, and the files of the metadata, by a simulated
//! machine. Only the simulation of `tests` enables it; without it nothing here can be replaced.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::identity::NodeId;

/// The work panicked.
#[derive(Debug, thiserror::Error)]
#[error("the work panicked")]
pub(crate) struct Panicked;

/// Runs `work` where it may block. Once begun it runs to its end, whether or not this is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    #[cfg(feature = "simulation")]
    if let Some((before, after)) = simulation::with(|machine| (machine.delay(), machine.delay())) {
        // It has not happened at once, and is not known at once: a crash may come before it and after it.
        let done = tokio::spawn(async move {
            tokio::time::sleep(before).await;
            let done = work();
            tokio::time::sleep(after).await;
            done
        });
        return done.await.map_err(|_| Panicked);
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Panicked)
}

/// Wall clock of `node`, which is this one: milliseconds since 1970. `None`: before that.
pub(crate) fn clock_ms(node: NodeId) -> Option<u64> {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulation::with(|machine| machine.clock_ms(node)) {
        return Some(now);
    }
    let _ = node;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// A part of `most` that other nodes do not share.
pub(crate) fn random_part(most: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    #[cfg(feature = "simulation")]
    let simulated = simulation::with(|machine| machine.random());
    #[cfg(not(feature = "simulation"))]
    let simulated = None;
    let random = simulated.unwrap_or_else(|| RandomState::new().hash_one(0));
    most.mul_f64(random as f64 / u64::MAX as f64)
}

/// The machine of a simulation.
#[cfg(feature = "simulation")]
pub mod simulation {
    use std::cell::RefCell;
    use std::fmt::Debug;
    use std::io;
    use std::path::Path;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use proto::identity::NodeId;

    /// Stands for the machine on one thread. Must be deterministic.
    pub trait Machine {
        /// Wall clock of a node, milliseconds since 1970.
        fn clock_ms(&self, node: NodeId) -> u64;
        /// Any number.
        fn random(&self) -> u64;
        /// How long the next piece of work that may block waits for its turn, or its end to be noticed.
        fn delay(&self) -> Duration;
        /// A file of the metadata, empty if it was never written.
        fn file(&self, path: &Path) -> Arc<dyn File>;
        /// Names of the files in a directory of the metadata that were ever written.
        ///
        /// # Errors
        /// As a system call.
        fn names(&self, dir: &Path) -> io::Result<Vec<String>>;
        /// Removes a file of the metadata.
        ///
        /// # Errors
        /// As a system call.
        fn remove(&self, path: &Path) -> io::Result<()>;
    }

    /// A file of the metadata.
    pub trait File: Debug + Send + Sync {
        /// Bytes.
        ///
        /// # Errors
        /// As a system call.
        fn size(&self) -> io::Result<u64>;
        /// Fills `out` from `offset` on.
        ///
        /// # Errors
        /// As a system call.
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
        /// Cuts, or fills with zeros.
        ///
        /// # Errors
        /// As a system call.
        fn set_len(&self, len: u64) -> io::Result<()>;
        /// Makes all before durable.
        ///
        /// # Errors
        /// As a system call.
        fn sync(&self) -> io::Result<()>;
        /// Writes.
        ///
        /// # Errors
        /// As a system call.
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    }

    thread_local! {
        static MACHINE: RefCell<Option<Rc<dyn Machine>>> = const { RefCell::new(None) };
    }

    /// From now on this thread uses `machine`, or again the real one.
    pub fn install(machine: Option<Rc<dyn Machine>>) {
        MACHINE.with(|installed| *installed.borrow_mut() = machine);
    }

    /// Asks the machine of this thread, if it is a simulated one.
    pub(crate) fn with<T>(ask: impl FnOnce(&dyn Machine) -> T) -> Option<T> {
        let machine = MACHINE.with(|installed| installed.borrow().clone());
        machine.map(|machine| ask(machine.as_ref()))
    }
}
