//! `tags/list` (checklist §7, T1 to T10).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::root;
use tests::content::{media_type, unique_bytes};
use tests::raw::Answer;
use tests::registry::{Image, fresh_repository};

/// A repository with one image under each of `tags`.
fn tagged(tags: &[&str]) -> (String, Image) {
    let repository = fresh_repository("tags");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{}?{}", image.digest, query.join("&"));
    root().put_manifest(&repository, &reference, media_type::IMAGE, &image.manifest).assert_status(201);
    (repository, image)
}

fn list(repository: &str, query: &str) -> Answer {
    let answer = root().get(format!("/v2/{repository}/tags/list{query}")).send();
    answer.assert_status(200);
    answer
}

#[test]
fn tags_are_listed_in_byte_order_with_the_name() {
    // T1, T2
    let (repository, _) = tagged(&["b", "a", "_x", "10", "9", "A"]);
    let answer = list(&repository, "");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["name"], repository.as_str());
    assert_eq!(answer.strings("tags"), ["10", "9", "A", "_x", "a", "b"]);
    assert_eq!(answer.header("link"), None);
}

#[test]
fn a_repository_without_tags_has_an_empty_list_and_an_unknown_one_has_none() {
    // T2, T3, K1
    let repository = fresh_repository("tags");
    root().push_blob(&repository, &unique_bytes(5));
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    root().put_image(&repository, &image.digest, &image.manifest);
    assert!(list(&repository, "").strings("tags").is_empty());
    let unknown = fresh_repository("tags");
    root().get(format!("/v2/{unknown}/tags/list")).send().assert_error(404, "NAME_UNKNOWN");
}

#[test]
fn pages_follow_links_to_the_end() {
    // T4, T5, T6, T7
    let (repository, _) = tagged(&["a", "a-b", "a.b", "ab", "A", "b"]);
    let all = ["A", "a", "a-b", "a.b", "ab", "b"];
    for size in 1..=7 {
        let mut found = Vec::new();
        let mut target = format!("/v2/{repository}/tags/list?n={size}");
        for _ in 0..10 {
            let answer = root().get(&target).send();
            answer.assert_status(200);
            let page = answer.strings("tags");
            assert!(page.len() <= size);
            found.extend(page);
            match answer.next_page() {
                Some(next) => target = next,
                None => break,
            }
        }
        assert_eq!(found, all, "n={size}");
    }
    let none = list(&repository, "?n=0");
    assert!(none.strings("tags").is_empty());
    assert_eq!(none.header("link"), None);
    assert_eq!(list(&repository, "?n=6").header("link"), None, "the last page has no Link");
    assert_eq!(list(&repository, "?n=100").header("link"), None);
}

#[test]
fn last_is_exclusive_and_need_not_exist() {
    // T6
    let (repository, _) = tagged(&["a", "c", "e"]);
    for (query, expected) in [
        ("?last=a", vec!["c", "e"]),
        ("?last=b", vec!["c", "e"]),
        ("?last=b&n=1", vec!["c"]),
        ("?n=5&last=c", vec!["e"]),
        ("?last=e", vec![]),
        ("?last=zzz", vec![]),
        ("?last=", vec!["a", "c", "e"]),
    ] {
        assert_eq!(list(&repository, query).strings("tags"), expected, "{query}");
    }
}

#[test]
fn page_sizes_are_checked_and_cut() {
    // T8, T9
    let (repository, _) = tagged(&["a", "b"]);
    for size in ["-1", "abc", "1e9", "1.5", "%00"] {
        let answer = root().get(format!("/v2/{repository}/tags/list?n={size}")).send();
        answer.assert_error(400, "PAGINATION_NUMBER_INVALID");
    }
    for size in ["10000", "1000000", "99999999999999999999", "18446744073709551616"] {
        assert_eq!(list(&repository, &format!("?n={size}")).strings("tags"), ["a", "b"]);
    }
}

#[test]
fn no_tag_is_lost_or_doubled_while_others_come_and_go() {
    // T10
    let stable: Vec<String> = (0..60).map(|number| format!("s{number:03}")).collect();
    let stable: Vec<&str> = stable.iter().map(String::as_str).collect();
    let (repository, image) = tagged(&stable);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..10_000 {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let tag = format!("s{:03}x", number % 60);
                root().put_image(&repository, &tag, &image.manifest);
                root().delete(format!("/v2/{repository}/manifests/{tag}")).send().assert_status(202);
            }
        });
        for _ in 0..8 {
            let mut found = Vec::new();
            let mut target = Some(format!("/v2/{repository}/tags/list?n=7"));
            while let Some(page) = target {
                let answer = root().get(page).send();
                answer.assert_status(200);
                found.extend(answer.strings("tags"));
                target = answer.next_page();
            }
            let unique: BTreeSet<&String> = found.iter().collect();
            assert_eq!(unique.len(), found.len(), "doubled");
            let kept: Vec<&str> =
                found.iter().map(String::as_str).filter(|tag| !tag.ends_with('x')).collect();
            assert_eq!(kept, stable);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn tags_of_signatures_are_ordinary_tags() {
    // C13, S27
    let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let full = format!("sha256-{hex}");
    let signature = format!("{full}.sig");
    let tags = [full.as_str(), signature.as_str(), "sha256-.sig", "sha256-zz.sig"];
    let (repository, image) = tagged(&tags);
    for tag in tags {
        let answer = root().get(format!("/v2/{repository}/manifests/{tag}")).send();
        answer.assert_status(200);
        assert_eq!(answer.body, image.manifest);
    }
    assert_eq!(list(&repository, "").strings("tags").len(), tags.len());
}
