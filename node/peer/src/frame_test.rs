//! Frames: both ways agree however the bytes are cut, and an announced length buys nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;

const LIMIT: usize = 16 * 1024 * 1024;

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

/// Gives out `bytes` in pieces of these lengths, then says the end; remembers the largest buffer offered.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    lengths: Vec<usize>,
    turn: usize,
    offered: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.offered = self.offered.max(buf.remaining());
        let piece = self.lengths.get(self.turn % self.lengths.len().max(1)).copied().unwrap_or(usize::MAX);
        self.turn += 1;
        let end = self.bytes.len().min(self.at.saturating_add(piece.max(1).min(buf.remaining())));
        buf.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

fn pieces(bytes: Vec<u8>, lengths: Vec<usize>) -> Pieces {
    Pieces { bytes, at: 0, lengths, turn: 0, offered: 0 }
}

#[test]
fn a_length_over_the_limit_is_refused_and_nothing_allocated() {
    for announced in [17_u32, 1 << 20, REFUSALS - 1] {
        let mut stream = pieces(announced.to_be_bytes().to_vec(), vec![]);
        let refused = block_on(read(&mut stream, 16));
        assert!(matches!(refused, Err(FrameError::TooLarge { limit: 16, .. })), "{refused:?}");
    }
}

#[test]
fn a_length_within_the_limit_buys_no_memory_before_its_bytes() {
    let mut bytes = (LIMIT as u32).to_be_bytes().to_vec();
    bytes.extend([7; 1000]);
    let mut stream = pieces(bytes, vec![100]);
    assert!(matches!(block_on(read(&mut stream, LIMIT)), Err(FrameError::Io(_))));
    assert!(stream.offered <= FIRST, "{} bytes were offered", stream.offered);
}

#[test]
fn a_message_at_the_limit_passes() {
    for length in [0, 1, SMALL, SMALL + 1, LIMIT] {
        let message = vec![9; length];
        let mut wire = Vec::new();
        block_on(write(&mut wire, &message)).expect("written");
        assert_eq!(block_on(read(&mut &wire[..], length)).expect("read"), message);
    }
}

#[test]
fn a_refusal_is_told_from_a_message() {
    for why in [Refusal::Refused, Refusal::Overloaded, Refusal::TooLarge, Refusal::Stopping] {
        let mut wire = Vec::new();
        block_on(refuse(&mut wire, why)).expect("written");
        assert!(matches!(block_on(read(&mut &wire[..], LIMIT)), Err(FrameError::Refused(got)) if got == why));
    }
    let later = [0xFF, 0xFF, 0xFF, 0xF3];
    assert_eq!(Head::decode(later), Head::Refusal(Refusal::Refused));
}

proptest! {
    #[test]
    fn messages_survive_any_cutting(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 1..4),
        lengths in prop::collection::vec(1usize..5000, 1..5),
    ) {
        let (read_back, end) = block_on(async {
            let (mut wire, mut read_back) = (Vec::new(), Vec::new());
            for message in &messages {
                write(&mut wire, message).await.expect("written");
            }
            let mut stream = pieces(wire, lengths);
            for _ in &messages {
                read_back.push(read(&mut stream, 6000).await.expect("read"));
            }
            (read_back, read(&mut stream, 6000).await)
        });
        prop_assert_eq!(read_back, messages);
        prop_assert!(end.is_err());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64), limit in 0usize..64) {
        if let Ok(message) = block_on(read(&mut &bytes[..], limit)) {
            prop_assert!(message.len() <= limit);
            prop_assert_eq!(&message[..], &bytes[HEAD..HEAD + message.len()]);
        }
    }

    #[test]
    fn heads_are_written_as_they_are_read(length in 0..REFUSALS) {
        prop_assert_eq!(Head::decode(Head::Message(length).encode()), Head::Message(length));
    }
}
