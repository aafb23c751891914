//! The answering side against raw requests.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::codec::{Answer, Request, What, read_answer, write_request};
use super::testing_test::{Manner, TestBlob, TestSource, id};
use super::*;

const MIB: usize = 1024 * 1024;

fn connect(server: &std::sync::Arc<Server<TestSource>>, asker: u64) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = std::sync::Arc::clone(server);
    tokio::spawn(async move { server.serve(far, id(asker), Class::Region).await });
    near
}

async fn ask(stream: &mut DuplexStream, blob: Blob, what: What) -> Answer {
    write_request(stream, &Request { blob, what }).await.expect("the server reads");
    read_answer(stream, &Cut::of(blob.size)).await.expect("the server answers")
}

async fn bytes(stream: &mut DuplexStream, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.expect("the server sends what it announced");
    bytes
}

#[tokio::test]
async fn one_stream_answers_many_requests_and_tells_what_it_gave_to_whom() {
    let test = TestBlob::new(5 * MIB + 3);
    let server = Server::new(TestSource::new(&test, Manner::Honest), Limits::default());
    let mut stream = connect(&server, 7);
    let Answer::Here { length, .. } = ask(&mut stream, test.blob, What::List).await else {
        panic!("no list")
    };
    assert_eq!(bytes(&mut stream, length).await, test.list);
    let Answer::Here { length, .. } = ask(&mut stream, test.blob, What::Leaves(19..21)).await else {
        panic!("no leaves")
    };
    assert_eq!(bytes(&mut stream, length).await, [test.leaf(19), test.leaf(20)].concat());
    let mut other = connect(&server, 8);
    let Answer::Here { length: 0, holding } = ask(&mut other, test.blob, What::Have).await else {
        panic!("not here")
    };
    assert_eq!(holding.leaves, None);
    assert_eq!(holding.given.iter().collect::<Vec<_>>(), [19, 20]);
    assert_eq!(holding.askers, [id(7)]);
    assert_eq!(server.askers(&test.blob), [id(7), id(8)]);
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_other_blobs_are_unknown() {
    let test = TestBlob::new(5 * MIB);
    let server = Server::new(TestSource::new(&test, Manner::Partial(4)), Limits::default());
    let mut stream = connect(&server, 7);
    let Answer::Here { length, holding } = ask(&mut stream, test.blob, What::Leaves(2..6)).await else {
        panic!("two leaves are there")
    };
    assert_eq!(bytes(&mut stream, length).await, [test.leaf(2), test.leaf(3)].concat());
    assert_eq!(holding.leaves.map(|leaves| leaves.count()), Some(4));
    assert!(matches!(ask(&mut stream, test.blob, What::Leaves(4..6)).await, Answer::Missing(_)));
    for other in [Blob { pieces_root: [9; 32], ..test.blob }, Blob { size: test.blob.size - 1, ..test.blob }]
    {
        let Answer::Missing(holding) = ask(&mut stream, other, What::Have).await else {
            panic!("not this blob")
        };
        assert_eq!(holding.leaves.map(|leaves| leaves.count()), Some(0));
    }
    let small = TestBlob::new(MIB - 1);
    let server = Server::new(TestSource::new(&small, Manner::Partial(3)), Limits::default());
    assert!(matches!(ask(&mut connect(&server, 7), small.blob, What::Whole).await, Answer::Missing(_)));
}

#[tokio::test]
async fn a_copy_that_was_given_up_is_not_what_a_stream_goes_on_with() {
    let test = TestBlob::new(5 * MIB);
    let server = Server::new(TestSource::new(&test, Manner::GivenUp), Limits::default());
    let mut stream = connect(&server, 7);
    assert!(matches!(ask(&mut stream, test.blob, What::Leaves(0..1)).await, Answer::Missing(_)));
    let Answer::Here { length: 0, holding } = ask(&mut stream, test.blob, What::Have).await else {
        panic!("another copy is there by now")
    };
    assert_eq!(holding.leaves, None, "whole");
}

#[tokio::test]
async fn a_busy_node_says_so_within_the_patience_of_the_other_side() {
    let test = TestBlob::new(5 * MIB);
    let limits = Limits { answers: [1, 1, 1], turn: Duration::from_millis(50), ..Limits::default() };
    let server = Server::new(TestSource::new(&test, Manner::Honest), limits);
    let (mut first, mut second) = (connect(&server, 7), connect(&server, 8));
    let Answer::Here { length, .. } = ask(&mut first, test.blob, What::Leaves(0..4)).await else {
        panic!("not here")
    };
    // The first one does not read on, so its turn is not over.
    assert!(matches!(ask(&mut second, test.blob, What::Leaves(4..8)).await, Answer::Busy(_)));
    let Answer::Elsewhere(holding) = ask(&mut second, test.blob, What::Leaves(0..4)).await else {
        panic!("others were given these")
    };
    assert_eq!(holding.given.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(
        matches!(ask(&mut second, test.blob, What::Have).await, Answer::Here { .. }),
        "this costs nothing"
    );
    bytes(&mut first, length).await;
    assert!(matches!(ask(&mut second, test.blob, What::Leaves(0..4)).await, Answer::Here { .. }));
}

#[tokio::test]
async fn few_wait_for_a_turn_and_the_next_is_told_at_once() {
    let test = TestBlob::new(5 * MIB);
    let limits = Limits { answers: [1, 1, 1], turn: Duration::from_secs(60), ..Limits::default() };
    let server = Server::new(TestSource::new(&test, Manner::Honest), limits);
    let mut first = connect(&server, 7);
    assert!(matches!(ask(&mut first, test.blob, What::Leaves(0..1)).await, Answer::Here { .. }));
    let mut waiting = Vec::new();
    for asker in 0..serve::PLACES as u64 {
        let mut stream = connect(&server, 8 + asker);
        waiting.push(tokio::spawn(async move {
            ask(&mut stream, test.blob, What::Leaves(1 + asker..2 + asker)).await
        }));
    }
    // Whoever comes before those wait takes a place itself: so it does not wait long, and the next asks for another.
    let told = async {
        for leaf in 4_u64.. {
            let mut next = connect(&server, 99);
            let asked = ask(&mut next, test.blob, What::Leaves(leaf..leaf + 1));
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(100), asked).await {
                return Some(answer);
            }
        }
        None
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("it is told");
    assert!(matches!(told, Some(Answer::Busy(_))), "{told:?}");
    assert!(waiting.iter().any(|one| !one.is_finished()));
}

#[tokio::test]
async fn a_broken_protocol_is_refused_and_the_stream_closed() {
    let test = TestBlob::new(5 * MIB);
    let server = Server::new(TestSource::new(&test, Manner::Honest), Limits::default());
    for hostile in [&[0xff; 64][..], &[0, 0, 0, 2, 8, 9], &[0, 0, 0, 0], &[0, 0, 0, 3, 1, 2, 3]] {
        let mut stream = connect(&server, 7);
        stream.write_all(hostile).await.expect("the server reads");
        let answer = read_answer(&mut stream, &test.cut()).await.expect("an answer");
        assert_eq!(answer, Answer::Refused);
        assert_eq!(stream.read(&mut [0; 1]).await.expect("a clean end"), 0);
    }
}

#[tokio::test]
async fn a_copy_that_breaks_is_cut_off_never_ended_cleanly() {
    let test = TestBlob::new(5 * MIB);
    let server = Server::new(TestSource::new(&test, Manner::Damaged(1)), Limits::default());
    let mut stream = connect(&server, 7);
    let Answer::Here { length, .. } = ask(&mut stream, test.blob, What::Leaves(0..3)).await else {
        panic!("not here")
    };
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it ends");
    assert!((rest.len() as u64) < length && rest == test.leaf(0));
}

#[tokio::test]
async fn a_later_version_is_refused_with_the_version_that_is_spoken() {
    let test = TestBlob::new(5 * MIB);
    let server = Server::new(TestSource::new(&test, Manner::Honest), Limits::default());
    let mut stream = connect(&server, 7);
    // Version 2 and nothing else.
    stream.write_all(&[0, 0, 0, 2, 8, 2]).await.expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it ends");
    // Version 1, status REFUSED.
    assert_eq!(answer, [0, 0, 0, 4, 8, 1, 16, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_class_with_a_rate_sends_no_faster_and_holds_up_no_other() {
    let rate = std::num::NonZeroU64::new(1024 * 1024);
    let test = TestBlob::new(20 * MIB);
    let limits = Limits { rates: [None, rate, None], ..Limits::default() };
    let server = Server::new(TestSource::new(&test, Manner::Honest), limits);
    let began = tokio::time::Instant::now();
    let mut limited = connect(&server, 7);
    let Answer::Here { length, .. } = ask(&mut limited, test.blob, What::Leaves(0..32)).await else {
        panic!("not here")
    };
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut free, serving) = (near, std::sync::Arc::clone(&server));
    tokio::spawn(async move { serving.serve(far, id(8), Class::Site).await });
    let Answer::Here { length: other, .. } = ask(&mut free, test.blob, What::Leaves(32..64)).await else {
        panic!("not here")
    };
    bytes(&mut free, other).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "another class goes on");
    bytes(&mut limited, length).await;
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(7800) && took <= Duration::from_millis(8200),
        "8 MiB took {took:?}"
    );
    assert_eq!(Class::ALL.map(|class| server.sent_bytes(class)), [8 << 20, 8 << 20, 0]);
    assert!(matches!(ask(&mut limited, test.blob, What::Have).await, Answer::Here { .. }));
}
