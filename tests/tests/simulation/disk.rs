//! The disk of one node under the storage engine: what was not synced may be lost, torn or kept at a power cut,
//! each write by itself; a sync can fail once, a write can end the power.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster::simulation::File;

use super::random::Random;

/// What a disk writes at once.
const SECTOR: usize = 512;

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    /// Rises with every power cut: handles of before are dead.
    power: u64,
    is_on: bool,
    files: BTreeMap<String, Content>,
    /// The power goes before this many further writes and syncs.
    cut_in: Option<u64>,
    fail_next_sync: bool,
    /// Files with a failed sync since the power came.
    failed: BTreeSet<String>,
    /// A file that was synced again after a failure.
    retried: Option<String>,
    /// Says synced without being it: the mutant.
    lies: bool,
    syncs: u64,
    torn: u64,
}

/// Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    random: Arc<Random>,
}

impl Disk {
    pub(crate) fn new(random: Arc<Random>, lies: bool) -> Self {
        Self { state: Arc::new(Mutex::new(State { lies, ..State::default() })), random }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.state().is_on
    }

    pub(crate) fn power_on(&self) {
        let mut state = self.state();
        state.is_on = true;
        state.power += 1;
        state.failed.clear();
        state.fail_next_sync = false;
        state.cut_in = None;
    }

    /// What was synced stays; of the rest each write stays, goes, or is torn.
    pub(crate) fn power_off(&self) {
        let random = Arc::clone(&self.random);
        let mut state = self.state();
        state.is_on = false;
        state.power += 1;
        let mut torn = 0;
        for content in state.files.values_mut() {
            // All lost, all kept, or each by itself.
            let kept = random.pick(&[0, 1000, 500, 900]);
            for change in std::mem::take(&mut content.pending) {
                if !random.chance(kept) {
                    continue;
                }
                let change = match change {
                    Change::Write { offset, data } if data.len() > SECTOR && random.chance(150) => {
                        torn += 1;
                        let sectors = random.below((data.len() / SECTOR) as u64 + 1) as usize;
                        Change::Write { offset, data: data[..sectors * SECTOR].to_vec() }
                    }
                    change => change,
                };
                apply(&mut content.durable, &change);
            }
            content.current = content.durable.clone();
        }
        state.torn += torn;
    }

    /// The power goes at a write or sync soon.
    pub(crate) fn cut_soon(&self, writes: u64) {
        self.state().cut_in = Some(writes);
    }

    pub(crate) fn fail_next_sync(&self) {
        self.state().fail_next_sync = true;
    }

    /// No fault that was planned comes any more.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        (state.cut_in, state.fail_next_sync) = (None, false);
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.state().failed.is_empty()
    }

    pub(crate) fn retried(&self) -> Option<String> {
        self.state().retried.clone()
    }

    /// Syncs, and writes that were torn.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let state = self.state();
        (state.syncs, state.torn)
    }

    /// Names of the files below the directory `dir`.
    pub(crate) fn names(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        let below = |name: &String| Some(name.strip_prefix(dir)?.strip_prefix('/')?.to_owned());
        state.files.keys().filter_map(below).map(Ok).collect()
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.is_on {
            return Err(io::Error::other("no power"));
        }
        state.files.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    pub(crate) fn file(&self, name: &str) -> Arc<dyn File> {
        Arc::new(Handle { disk: self.clone(), name: name.to_owned(), power: self.state().power })
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    name: String,
    power: u64,
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.is_on && state.power == self.power { Ok(state) } else { Err(io::Error::other("no power")) }
    }

    /// As `state`, before something that the power may end at.
    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state()?;
        match state.cut_in {
            Some(0) => {
                state.is_on = false;
                return Err(io::Error::other("the power went"));
            }
            Some(left) => state.cut_in = Some(left - 1),
            None => {}
        }
        Ok(state)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.changing()?;
        let content = state.files.entry(self.name.clone()).or_default();
        apply(&mut content.current, &change);
        content.pending.push(change);
        Ok(())
    }
}

impl File for Handle {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.files.get(&self.name).map_or(0, |content| content.current.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let offset = offset as usize;
        let content = state.files.get(&self.name).map_or(&[][..], |content| &content.current);
        let found = content.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.changing()?;
        let state = &mut *state;
        let Some(content) = state.files.get_mut(&self.name) else { return Ok(()) };
        if std::mem::take(&mut state.fail_next_sync) {
            state.failed.insert(self.name.clone());
            // The system says it once and takes the pages for written: who asks again is told a lie.
            content.pending.clear();
            return Err(io::Error::other("the sync failed"));
        }
        if state.failed.contains(&self.name) {
            state.retried = Some(self.name.clone());
        }
        if state.lies {
            return Ok(());
        }
        state.syncs += 1;
        for change in content.pending.drain(..) {
            apply(&mut content.durable, &change);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, data: data.to_vec() })
    }
}
