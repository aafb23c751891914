//! Tests of `backup`.

use super::*;

fn sample() -> (Vec<Frame>, Vec<u8>) {
    let head = Head { cluster_id: "ab".into(), index: 7, term: 2, time_ms: 5, release: "1.2.3".into() };
    let blob = NeededBlob {
        digest: "sha256:00".into(),
        size: 3,
        generation: "g".into(),
        pieces_root: "00".into(),
        copies: vec!["1".into()],
    };
    let mut encoder = Encoder::new(&head);
    encoder.blob(&blob);
    encoder.pair(b"c", b"one");
    encoder.pair(b"t", b"");
    encoder.end();
    let pair = |key: &[u8], value: &[u8]| Frame::Pair(key.to_vec(), value.to_vec());
    let frames = vec![Frame::Head(head), Frame::Blob(blob), pair(b"c", b"one"), pair(b"t", b"")];
    (frames, encoder.take())
}

fn read(bytes: &[u8], at_once: usize) -> Result<Vec<Frame>, BackupError> {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for part in bytes.chunks(at_once) {
        decoder.push(part);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    decoder.finish().map(|()| frames)
}

#[test]
fn what_was_written_is_read_however_it_is_cut_up() {
    let (frames, bytes) = sample();
    for at_once in [1, 2, 7, bytes.len()] {
        assert_eq!(read(&bytes, at_once), Ok(frames.clone()));
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let (_, bytes) = sample();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&altered, 16).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], 16).is_err(), "{length} bytes");
    }
    assert!(read(&[&bytes[..], b"x"].concat(), 16).is_err());
    assert_eq!(read(b"hello", 16), Err(BackupError::Foreign));
}
