//! Fetches over streams in memory: bad holders, readers, sharing, stopping and going on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::testing_test::{Manner, TestBlob, TestNet, TestSink, TestSource, id};
use super::*;

const MIB: usize = 1024 * 1024;

fn fetches(net: &TestNet) -> Fetches<TestNet, TestSink> {
    Fetches::new(id(99), net.clone())
}

fn served(source: &TestSource) -> u64 {
    source.served.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_blob_comes_whole_although_one_holder_lies_and_one_stands_still() {
    let (test, net) = (TestBlob::new(48 * MIB + 5), TestNet::default());
    net.add(1, Class::Site, TestSource::new(&test, Manner::Liar(3)));
    net.add(2, Class::Site, TestSource::new(&test, Manner::Staller(4)));
    net.add(3, Class::Site, TestSource::new(&test, Manner::WrongList));
    net.add(4, Class::Region, TestSource::new(&test, Manner::Damaged(20)));
    net.add(5, Class::Region, TestSource::new(&test, Manner::Honest));
    let sink = TestSink::new(&test, false);
    let fetch = fetches(&net).fetch(test.blob, sink.clone());
    let began = std::time::Instant::now();
    fetch.done().await.expect("one holder is honest");
    assert!(began.elapsed() < Duration::from_secs(20), "stalls cost two seconds each");
    assert!(sink.content() == test.content);
    assert_eq!(sink.0.finished.load(Ordering::Relaxed), 1);
    // Whether the liar of lists was asked for one is chance.
    assert_eq!(net.left(1), Some(Reason::Wrong));
    assert_eq!(net.left(5), None);
    println!("peak memory of leaves in flight: {} KiB", fetch.peak_memory() / 1024);
    assert!(fetch.peak_memory() < 64 * MIB as u64);
}

#[tokio::test]
async fn memory_stays_bounded_with_many_holders() {
    let (test, net) = (TestBlob::new(64 * MIB), TestNet::default());
    for node in 1..40 {
        net.add(node, Class::Region, TestSource::new(&test, Manner::Honest));
    }
    let sink = TestSink::new(&test, false);
    let fetch = fetches(&net).fetch(test.blob, sink.clone());
    fetch.done().await.expect("all are honest");
    assert!(sink.content() == test.content);
    println!("peak memory of leaves in flight, 39 holders: {} KiB", fetch.peak_memory() / 1024);
    // Bound of the session: its asks, one leaf each, and what a second lane of a stopped ask still holds.
    assert!(fetch.peak_memory() <= 16 * MIB as u64);
}

#[tokio::test]
async fn readers_get_their_range_in_order_while_the_rest_is_coming() {
    let (test, net) = (TestBlob::new(12 * MIB + 77), TestNet::default());
    net.add(1, Class::Region, TestSource::new(&test, Manner::Honest));
    let fetch = fetches(&net).fetch(test.blob, TestSink::new(&test, false));
    let mut readers = tokio::task::JoinSet::new();
    for range in [0..u64::MAX, 5_000_000..5_000_001, 0..0, 11_999_999..13_000_000, 12_582_989..12_582_990] {
        let mut reader = fetch.read(range.clone());
        readers.spawn(async move {
            let mut content = Vec::new();
            while let Some(part) = reader.next().await.expect("it comes") {
                content.extend_from_slice(&part);
            }
            (range, content)
        });
    }
    drop(fetch);
    while let Some(read) = readers.join_next().await {
        let (range, content) = read.expect("no panic");
        let end = (range.end as usize).min(test.content.len());
        assert!(content == test.content[(range.start as usize).min(end)..end]);
    }
}

#[tokio::test]
async fn all_who_want_a_blob_share_one_fetch() {
    let (test, net) = (TestBlob::new(8 * MIB), TestNet::default());
    let source = TestSource::new(&test, Manner::Honest);
    net.add(1, Class::Region, source.clone());
    let all = fetches(&net);
    let handles: Vec<_> = (0..10).map(|_| all.fetch(test.blob, TestSink::new(&test, false))).collect();
    for handle in &handles {
        handle.done().await.expect("it comes");
    }
    assert_eq!(served(&source), 32, "each leaf once");
    assert!(handles.iter().all(|handle| Arc::ptr_eq(&handle.sink().0, &handles[0].sink().0)));
    let other = Blob { pieces_root: [9; 32], ..test.blob };
    let refused = all.fetch(other, TestSink::new(&test, false));
    assert!(!Arc::ptr_eq(&refused.sink().0, &handles[0].sink().0), "another root is another blob");
}

#[tokio::test]
async fn a_fetch_nobody_holds_stops_and_the_next_one_goes_on() {
    let (test, net) = (TestBlob::new(8 * MIB), TestNet::default());
    let first = TestSource::new(&test, Manner::Staller(10));
    net.add(1, Class::Region, first.clone());
    let (sink, all) = (TestSink::new(&test, false), fetches(&net));
    let fetch = all.fetch(test.blob, sink.clone());
    while sink.leaves().count() < 8 {
        tokio::task::yield_now().await;
    }
    let stopped = fetch.stop_token();
    drop(fetch);
    assert!(stopped.is_cancelled());
    net.remove(1);
    let second = TestSource::new(&test, Manner::Honest);
    net.add(2, Class::Region, second.clone());
    let had = sink.leaves().count();
    all.fetch(test.blob, sink.clone()).done().await.expect("it goes on");
    assert!(sink.content() == test.content);
    assert!(served(&second) <= 32 - had, "{} of {had}", served(&second));
    assert!(all.shutdown(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn everybody_hears_why_a_fetch_failed() {
    let (test, net) = (TestBlob::new(8 * MIB), TestNet::default());
    let all = fetches(&net);
    let fetch = all.fetch(test.blob, TestSink::new(&test, false));
    let mut reader = fetch.read(0..1);
    assert!(matches!(reader.next().await, Err(FetchError::Failed(Failure::NoHolder { last: None }))));
    assert!(matches!(fetch.done().await, Err(FetchError::Failed(Failure::NoHolder { .. }))));

    net.add(1, Class::Region, TestSource::new(&test, Manner::Honest));
    let full = all.fetch(test.blob, TestSink::new(&test, true));
    assert!(matches!(full.done().await, Err(FetchError::Sink(_))), "a failed fetch is not joined");

    net.remove(1);
    net.add(2, Class::Region, TestSource::new(&test, Manner::Liar(0)));
    let lied = all.fetch(test.blob, TestSink::new(&test, false));
    let failed = lied.done().await;
    assert!(matches!(failed, Err(FetchError::Failed(Failure::NoHolder { last: Some(Reason::Wrong) }))));

    let large = Blob { size: u64::MAX, ..test.blob };
    let large = all.fetch(large, TestSink::new(&test, false));
    assert!(matches!(large.done().await, Err(FetchError::TooLarge)));
}

#[tokio::test]
async fn a_small_blob_is_one_request_to_one_holder() {
    for size in [0, 1, 300_000, MIB - 1] {
        let (test, net) = (TestBlob::new(size), TestNet::default());
        net.add(1, Class::Site, TestSource::new(&test, Manner::Honest));
        net.add(2, Class::Region, TestSource::new(&test, Manner::Honest));
        let sink = TestSink::new(&test, false);
        fetches(&net).fetch(test.blob, sink.clone()).done().await.expect("it comes");
        assert!(sink.content() == test.content);
        assert_eq!(net.0.opened.load(Ordering::Relaxed), 1, "{size}");
    }
}

#[tokio::test]
async fn partial_holders_are_used_for_what_they_have() {
    let (test, net) = (TestBlob::new(32 * MIB), TestNet::default());
    let (partial, whole) =
        (TestSource::new(&test, Manner::Partial(64)), TestSource::new(&test, Manner::Honest));
    net.add(1, Class::Region, partial.clone());
    net.add(2, Class::Wide, whole.clone());
    let sink = TestSink::new(&test, false);
    fetches(&net).fetch(test.blob, sink.clone()).done().await.expect("it comes");
    assert!(sink.content() == test.content);
    assert!(served(&partial) > 0 && served(&whole) >= 64);
}

/// E26 of the faults: every tenth leaf is wrong.
#[tokio::test]
async fn a_liar_is_left_at_its_first_wrong_leaf_and_costs_little() {
    let (test, net) = (TestBlob::new(64 * MIB), TestNet::default());
    let liar = TestSource::new(&test, Manner::TenthWrong);
    net.add(1, Class::Site, liar.clone());
    let honest = TestSource::new(&test, Manner::Honest);
    net.add(2, Class::Region, honest.clone());
    let sink = TestSink::new(&test, false);
    fetches(&net).fetch(test.blob, sink.clone()).done().await.expect("one is honest");
    assert!(sink.content() == test.content);
    assert_eq!((net.left(1), net.left(2)), (Some(Reason::Wrong), None));
    let refused = sink.0.refused.load(Ordering::Relaxed);
    assert!(refused >= 1, "it lied");
    let sent = served(&liar) + served(&honest);
    println!("a liar: {refused} leaves refused, {sent} sent for 256");
    assert!(sent <= 256 * 6 / 5, "{sent} leaves sent for 256");
}

#[tokio::test]
async fn after_three_wrong_pieces_a_holder_is_not_asked_by_later_fetches() {
    let (test, net) = (TestBlob::new(8 * MIB), TestNet::default());
    let liar = TestSource::new(&test, Manner::Liar(0));
    net.add(1, Class::Site, liar.clone());
    net.add(2, Class::Region, TestSource::new(&test, Manner::Honest));
    let all = fetches(&net);
    let once = async || {
        let sink = TestSink::new(&test, false);
        all.fetch(test.blob, sink.clone()).done().await.expect("one is honest");
        sink.0.refused.load(Ordering::Relaxed)
    };
    let mut lies = 0;
    while all.quarantines_total() == 0 {
        let refused = once().await;
        assert!(refused <= 4, "left at once: {refused} in one fetch");
        lies += u64::from(refused > 0);
        assert!(lies <= 3, "after three fetches with wrong pieces it is quarantined");
    }
    assert_eq!(lies, 3);
    let before = served(&liar);
    for _ in 0..3 {
        assert_eq!(once().await, 0);
    }
    assert_eq!((served(&liar), all.quarantines_total()), (before, 1), "not asked again");
}

/// E27 of the faults: a holder stalls, or sends 1 KB a second.
#[tokio::test]
async fn a_holder_that_stalls_or_trickles_is_left_within_two_seconds() {
    for manner in [Manner::Staller(8), Manner::Trickle] {
        let (test, net) = (TestBlob::new(32 * MIB), TestNet::default());
        net.add(1, Class::Site, TestSource::new(&test, manner));
        let all = fetches(&net);
        let sink = TestSink::new(&test, false);
        let fetch = all.fetch(test.blob, sink.clone());
        // Nobody else has it, so no endgame hides how long the holder is waited for.
        let began = std::time::Instant::now();
        while net.left(1).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{manner:?}: left after {:?}", began.elapsed());
        assert_eq!(net.left(1), Some(Reason::Silent));
        net.add(2, Class::Region, TestSource::new(&test, Manner::Honest));
        let fetch = match fetch.done().await {
            Ok(()) => fetch,
            Err(_) => all.fetch(test.blob, sink.clone()),
        };
        fetch.done().await.expect("the other one is honest");
        assert!(sink.content() == test.content);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
