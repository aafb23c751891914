//! I18, I19 and I21: what strong reads say of a tag with one writer. Each read shows a write that began before
//! the read ended, and none older than the last one acknowledged, or shown to anybody, before the read began:
//! so a deleted name is not readable, does not come back, and no reader goes back in time, through any nodes.

use proto::digest::Digest;

/// A tag that one client writes, one write after the other.
#[derive(Debug)]
pub(crate) struct Register {
    versions: Vec<Option<Digest>>,
    floor: usize,
    /// A write has an unknown end.
    pub(crate) is_given_up: bool,
}

impl Default for Register {
    fn default() -> Self {
        Self { versions: vec![None], floor: 0, is_given_up: false }
    }
}

impl Register {
    pub(crate) fn begin(&mut self, value: Option<Digest>) -> usize {
        self.versions.push(value);
        self.versions.len() - 1
    }

    pub(crate) fn end(&mut self, version: usize) {
        self.floor = self.floor.max(version);
    }

    /// What the last write set it to.
    pub(crate) fn latest(&self) -> Option<Digest> {
        self.versions.last().copied().flatten()
    }

    /// The oldest version that a read from now on may show.
    pub(crate) fn floor(&self) -> usize {
        self.floor
    }

    /// A read that began when `floor` was the floor ends.
    pub(crate) fn was_read(&mut self, floor: usize, found: Option<Digest>) -> Result<(), String> {
        let shown = self.versions.iter().skip(floor).position(|version| *version == found);
        match shown {
            Some(at) => {
                self.floor = self.floor.max(floor + at);
                Ok(())
            }
            None => Err(format!("{found:?} was read, not a version from {floor} on of {:?}", self.versions)),
        }
    }
}
