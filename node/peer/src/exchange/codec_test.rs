//! Frames: what round-trips, and what is refused before memory is taken for it.

use super::*;
use proptest::prelude::*;
use proto::digest::Algorithm;

fn blob(size: u64) -> Blob {
    let generation = UploadId::new(NodeId::new(1).expect("not zero"), 7);
    Blob { digest: Digest::of(Algorithm::Sha256, b"x"), generation, size, pieces_root: [3; 32] }
}

async fn through(request: Request) -> Result<Option<Request>, CodecError> {
    let mut bytes = Vec::new();
    write_request(&mut bytes, &request).await.expect("memory takes it");
    read_request(&mut bytes.as_slice()).await
}

#[tokio::test]
async fn requests_round_trip_within_their_bounds_only() {
    let large = blob(40 * 262_144 - 5);
    for what in [What::List, What::Have, What::Leaves(0..32), What::Leaves(39..40)] {
        let request = Request { blob: large, what };
        assert_eq!(through(request.clone()).await.expect("it is right"), Some(request));
    }
    let whole = Request { blob: blob(SMALL - 1), what: What::Whole };
    assert_eq!(through(whole.clone()).await.expect("it is small"), Some(whole));
    for (blob, what) in [
        (large, What::Whole),
        (large, What::Leaves(0..0)),
        (large, What::Leaves(0..33)),
        (large, What::Leaves(39..41)),
        (large, What::Leaves(u64::MAX - 1..u64::MAX)),
        (Blob { size: MAX_SIZE + 1, ..large }, What::List),
    ] {
        let refused = through(Request { blob, what }).await;
        assert!(matches!(refused, Err(CodecError::Malformed)), "{refused:?}");
    }
    assert!(read_request(&mut [].as_slice()).await.expect("a clean end").is_none());
}

#[tokio::test]
async fn nothing_is_allocated_by_a_prefix_and_other_versions_are_named() {
    let endless = [0xff; 64];
    let read = read_request(&mut endless.as_slice()).await;
    assert!(matches!(read, Err(CodecError::TooLong { length: 0xffff_ffff })));
    for version in [0, 2, u32::MAX] {
        let message = wire::Request { version, ..wire::Request::default() }.encode_to_vec();
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &message).await.expect("memory takes it");
        let read = read_request(&mut bytes.as_slice()).await;
        assert!(matches!(read, Err(CodecError::Version(found)) if found == version));
    }
}

/// Field 99 as a later release may add it: a key and three bytes (protobuf encoding, wire type 2).
const LATER: [u8; 6] = [0x9a, 0x06, 3, b'n', b'e', b'w'];

#[tokio::test]
async fn fields_of_a_later_release_are_passed_over() {
    let request = Request { blob: blob(5_000_000), what: What::Leaves(1..3) };
    let mut bytes = Vec::new();
    write_request(&mut bytes, &request).await.expect("memory takes it");
    let message = [&bytes[4..], &LATER].concat();
    let mut later = Vec::new();
    write_frame(&mut later, &message).await.expect("memory takes it");
    assert_eq!(read_request(&mut later.as_slice()).await.expect("understood"), Some(request));
    let mut bytes = Vec::new();
    let answer = Answer::Busy(Duration::from_millis(250));
    write_answer(&mut bytes, &answer).await.expect("memory takes it");
    let mut later = Vec::new();
    write_frame(&mut later, &[&bytes[4..], &LATER].concat()).await.expect("memory takes it");
    assert_eq!(read_answer(&mut later.as_slice(), &Cut::of(9)).await.expect("understood"), answer);
}

#[tokio::test]
async fn the_refusal_of_an_older_release_names_its_version() {
    let message =
        wire::Header { version: 0, status: wire::Status::Refused.into(), ..wire::Header::default() };
    let mut bytes = Vec::new();
    write_frame(&mut bytes, &message.encode_to_vec()).await.expect("memory takes it");
    let read = read_answer(&mut bytes.as_slice(), &Cut::of(9)).await;
    assert!(matches!(read, Err(CodecError::Version(0))), "{read:?}");
}

#[tokio::test]
async fn headers_round_trip_and_the_largest_one_fits() {
    for size in [1, 5_000_000, MAX_SIZE] {
        let cut = Cut::of(size);
        let holding = Holding {
            leaves: Some(Leaves::all(cut.leaves())),
            given: Leaves::all(cut.leaves()),
            askers: (1..=32).filter_map(|node| NodeId::new(u64::MAX - node)).collect(),
        };
        for answer in [
            Answer::Here { length: size, holding: holding.clone() },
            Answer::Missing(Holding { leaves: None, ..holding.clone() }),
            Answer::Busy(Duration::from_millis(250)),
            Answer::Elsewhere(holding.clone()),
            Answer::Refused,
        ] {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).await.expect("memory takes it");
            assert_eq!(read_answer(&mut bytes.as_slice(), &cut).await.expect("it is right"), answer);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let length = (bytes.len() as u32).to_be_bytes();
        for bytes in [bytes.clone(), [length.as_slice(), &bytes].concat()] {
            _ = runtime.block_on(read_request(&mut bytes.as_slice()));
            _ = runtime.block_on(read_answer(&mut bytes.as_slice(), &Cut::of(9_000_000)));
        }
    }
}
