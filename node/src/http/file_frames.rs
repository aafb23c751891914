//! File frames: how a blob's bytes pass through hyper to sendfile(2) without being read.
//!
//! hyper writes bodies as slices of bytes. For a plain HTTP/1 connection the body of a blob yields
//! slices of one static *placeholder* instead, and queues beside them which part of which file each
//! slice stands for. The socket under hyper ([`super::stream`]) recognises a slice of the placeholder by
//! its address and sends the file part in its place; it never sends the placeholder itself: a slice
//! without its queued part ends the connection. The placeholder's content is never read.
//!
//! This works because hyper neither copies nor reorders the slices of a body on a connection whose
//! writer says that it writes vectored, and because HTTP/1 answers one request at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Most bytes of one frame.
pub(crate) const MAX_FRAME: usize = 1 << 20;

static PLACEHOLDER: [u8; MAX_FRAME] = [0; MAX_FRAME];

/// A part of a file that is to be sent.
#[derive(Debug)]
pub(crate) struct FilePart {
    /// Where the bytes are.
    pub(crate) file: Arc<File>,
    /// Next byte to send.
    pub(crate) offset: u64,
    /// Bytes left to send.
    pub(crate) len: usize,
}

/// The file parts of one connection that hyper was given frames for and that are not sent yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileFrames(Arc<Mutex<VecDeque<FilePart>>>);

impl FileFrames {
    /// Queues `len` bytes (at most [`MAX_FRAME`]) of `file` from `offset`, and gives the frame that
    /// must be written for them, in the same order as the calls.
    pub(crate) fn frame(&self, file: Arc<File>, offset: u64, len: usize) -> Bytes {
        let frame = Bytes::from_static(&PLACEHOLDER[..len.min(MAX_FRAME)]);
        self.queue().push_back(FilePart { file, offset, len: frame.len() });
        frame
    }

    /// Whether `slice` stands for a file part.
    pub(crate) fn is_placeholder(slice: &[u8]) -> bool {
        let start = PLACEHOLDER.as_ptr() as usize;
        let at = slice.as_ptr() as usize;
        (start..start + MAX_FRAME).contains(&at)
    }

    /// Sends from the part that is next, by `send(file, offset, len) -> sent`, at most `limit` bytes.
    /// `None` when no part is queued.
    pub(crate) fn send_next(
        &self,
        limit: usize,
        send: impl FnOnce(&File, u64, usize) -> std::io::Result<usize>,
    ) -> Option<std::io::Result<usize>> {
        let mut queue = self.queue();
        let part = queue.front_mut()?;
        let result = send(&part.file, part.offset, part.len.min(limit));
        if let Ok(sent) = result {
            part.offset += sent as u64;
            part.len -= sent;
            if part.len == 0 {
                queue.pop_front();
            }
        }
        Some(result)
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<FilePart>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_recognised_and_sent_in_order() {
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let frames = FileFrames::default();
        let first = frames.frame(file.clone(), 10, 5);
        let second = frames.frame(file, 100, 7);
        assert!(FileFrames::is_placeholder(&first) && FileFrames::is_placeholder(&second[3..]));
        assert!(!FileFrames::is_placeholder(b"no"));

        let mut sent = Vec::new();
        for limit in [3, 9, 9] {
            let count = frames.send_next(limit, |_, offset, len| {
                sent.push((offset, len));
                Ok(len)
            });
            assert!(count.expect("queued").is_ok());
        }
        assert_eq!(sent, [(10, 3), (13, 2), (100, 7)]);
        assert!(frames.send_next(1, |_, _, len| Ok(len)).is_none());
    }
}
