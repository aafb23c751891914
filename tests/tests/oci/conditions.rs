//! `If-Match` and `If-None-Match` on manifest PUT by tag: compare and set (checklist M21, C15, XM18).

use std::sync::Barrier;

use crate::root;
use tests::content::media_type;
use tests::raw::Answer;
use tests::registry::{Image, fresh_repository};

fn put(image: &Image, tag: &str, condition: (&str, &str)) -> Answer {
    root()
        .put(format!("/v2/{}/manifests/{tag}", image.repository))
        .header("Content-Type", media_type::IMAGE)
        .header(condition.0, condition.1)
        .body(image.manifest.clone())
        .send()
}

fn pushed_blobs(repository: &str) -> Image {
    let image = Image::new(repository);
    root().push_blobs_of(&image);
    image
}

fn current(repository: &str, tag: &str) -> Option<String> {
    let answer = root().head(format!("/v2/{repository}/manifests/{tag}")).send();
    answer.header("docker-content-digest").map(str::to_owned)
}

#[test]
fn a_tag_is_replaced_only_while_it_is_what_the_client_saw() {
    let repository = fresh_repository("conditions");
    let (old, new, late) =
        (root().push_image(&repository, "v1"), pushed_blobs(&repository), pushed_blobs(&repository));
    let seen = format!("\"{}\"", old.digest);
    put(&new, "v1", ("If-Match", &seen)).assert_status(201);
    put(&late, "v1", ("If-Match", &seen)).assert_refused(&[412]);
    assert_eq!(current(&repository, "v1"), Some(new.digest.clone()));
    let list = format!("\"x\", {seen}, \"{}\"", new.digest);
    put(&late, "v1", ("If-Match", &list)).assert_status(201);
    put(&old, "v1", ("If-Match", "*")).assert_status(201);
}

#[test]
fn if_match_on_an_absent_tag_fails() {
    // XM18
    let repository = fresh_repository("conditions");
    let image = pushed_blobs(&repository);
    for value in ["*", &format!("\"{}\"", image.digest)] {
        put(&image, "new", ("If-Match", value)).assert_refused(&[412]);
    }
    assert_eq!(current(&repository, "new"), None);
}

#[test]
fn a_tag_is_created_only_while_it_is_absent() {
    let repository = fresh_repository("conditions");
    let (first, second) = (pushed_blobs(&repository), pushed_blobs(&repository));
    put(&first, "new", ("If-None-Match", "*")).assert_status(201);
    put(&second, "new", ("If-None-Match", "*")).assert_refused(&[412]);
    assert_eq!(current(&repository, "new"), Some(first.digest.clone()));
    // Only `*` has a use on a write; a list is refused rather than ignored.
    put(&second, "new", ("If-None-Match", &format!("\"{}\"", first.digest))).assert_refused(&[400, 412]);
    assert_eq!(current(&repository, "new"), Some(first.digest));
}

#[test]
fn of_many_writers_that_saw_the_same_exactly_one_wins() {
    let repository = fresh_repository("conditions");
    for round in 0..5 {
        let base = root().push_image(&repository, "v1");
        let writers: Vec<Image> = (0..6).map(|_| pushed_blobs(&repository)).collect();
        let barrier = Barrier::new(writers.len());
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let tries: Vec<_> = writers
                .iter()
                .map(|image| {
                    let (barrier, base) = (&barrier, &base);
                    scope.spawn(move || {
                        barrier.wait();
                        put(image, "v1", ("If-Match", &format!("\"{}\"", base.digest))).status
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        assert_eq!(
            statuses.iter().filter(|status| **status == 201).count(),
            1,
            "round {round}: {statuses:?}"
        );
        assert!(statuses.iter().all(|status| matches!(status, 201 | 412)), "{statuses:?}");
        let winner = statuses.iter().position(|status| *status == 201).expect("a winner");
        assert_eq!(current(&repository, "v1"), Some(writers[winner].digest.clone()));
    }
}
