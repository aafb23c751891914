//! `_catalog` (checklist T12).

use crate::{anonymous, root};
use tests::content::unique_bytes;
use tests::registry::fresh_repository;

fn all(size: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut target = Some(format!("/v2/_catalog?n={size}"));
    while let Some(page) = target {
        let answer = root().get(page).send();
        answer.assert_status(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let names = answer.strings("repositories");
        assert!(names.len() <= size);
        found.extend(names);
        target = answer.next_page();
    }
    found
}

#[test]
fn repositories_are_listed_in_order_over_pages() {
    // T12
    let names: Vec<String> = (0..5).map(|_| fresh_repository("catalog")).collect();
    for name in &names {
        root().push_image(name, "v1");
    }
    for size in [2, 3, 1000] {
        let found = all(size);
        assert!(names.iter().all(|name| found.contains(name)), "{found:?}");
        assert!(found.is_sorted(), "{found:?}");
        let mut unique = found.clone();
        unique.dedup();
        assert_eq!(unique.len(), found.len(), "doubled: {found:?}");
    }
}

#[test]
fn a_repository_whose_push_never_finished_is_not_listed() {
    // T12
    let repository = fresh_repository("catalog");
    let location = root().start_upload(&repository);
    root().patch(&location).body(unique_bytes(10)).send().assert_status(202);
    assert!(!all(1000).contains(&repository));
}

#[test]
fn the_catalog_takes_the_paging_parameters_of_tags() {
    let names: Vec<String> = (0..2).map(|_| fresh_repository("catalogpage")).collect();
    for name in &names {
        root().push_image(name, "v1");
    }
    let after = root().get(format!("/v2/_catalog?n=1&last={}", names[0])).send();
    after.assert_status(200);
    assert_ne!(after.strings("repositories").first(), names.first());
    let none = root().get("/v2/_catalog?n=0").send();
    assert!(none.strings("repositories").is_empty());
    assert_eq!(none.header("link"), None);
    root().get("/v2/_catalog?n=-1").send().assert_error(400, "PAGINATION_NUMBER_INVALID");
    assert!(root().get("/v2/_catalog?last=zzzz").send().strings("repositories").is_empty());
}

#[test]
fn anonymous_callers_are_asked_for_the_catalog_scope() {
    // T12, A4
    let answer = anonymous().get("/v2/_catalog").send();
    answer.assert_error(401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("scope=\"registry:catalog:*\""), "{challenge}");
}
