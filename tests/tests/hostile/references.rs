//! References that manifests are put under: section 3 of `specs/hostile-inputs.md`, XM15, XM18 to XM20.

use std::thread;

use crate::{assert_alive, own_server, root};
use tests::content::{self, ZERO_DIGEST, bytes_of, media_type, unique_bytes};
use tests::http::Client;
use tests::registry::{Image, fresh_repository, is_full_run};

#[test]
fn tags_in_the_query_need_the_right_to_push_and_have_a_limit() {
    // XM15, S6, S7, M18, M20
    let repository = fresh_repository("manifests");
    let old = root().push_image(&repository, "latest");
    let new = Image::new(&repository);
    root().push_blobs_of(&new);
    let pull = Client::bearer(root().host(), &root().token(&[&format!("repository:{repository}:pull")]));
    for reference in ["latest".to_owned(), format!("{}?tag=latest", new.digest)] {
        let answer = pull.put_manifest(&repository, &reference, media_type::IMAGE, &new.manifest);
        answer.assert_error(401, "UNAUTHORIZED");
    }
    let many: String = (0..10_000).map(|number| format!("&tag=t{number}")).collect();
    let target = format!("/v2/{repository}/manifests/{}?{}", new.digest, &many[1..]);
    let answer =
        root().put(target).header("Content-Type", media_type::IMAGE).body(new.manifest.clone()).try_send();
    // The head alone is larger than what a head may be.
    assert!(answer.map_or(true, |answer| matches!(answer.status, 414 | 431)));
    let fitting: String = (0..600).map(|number| format!("&tag=t{number}")).collect();
    let reference = format!("{}?{}", new.digest, &fitting[1..]);
    let answer = root().put_manifest(&repository, &reference, media_type::IMAGE, &new.manifest);
    assert!(matches!(answer.status, 201 | 400 | 414), "{}", answer.status);
    assert_eq!(root().get(format!("/v2/{repository}/manifests/latest")).send().body, old.manifest);
    assert_eq!(root().tags(&repository).len(), if answer.status == 201 { 601 } else { 1 });
    assert_alive();
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    // XM18
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    let put = |tag: &str, condition: &str| {
        root()
            .put(format!("/v2/{repository}/manifests/{tag}"))
            .header("Content-Type", media_type::IMAGE)
            .header("If-Match", condition)
            .body(image.manifest.clone())
            .send()
    };
    for garbage in ["", ",,,", "\"", "\"unterminated", "garbage", "W/\"x\"", "\u{e9}", ZERO_DIGEST] {
        put("v1", garbage).assert_refused(&[400, 412]);
    }
    put("absent", "*").assert_refused(&[412]);
    let list = vec!["\"x\""; 4000].join(", ");
    put("v1", &list).assert_refused(&[400, 412]);
    let long = vec![format!("\"{ZERO_DIGEST}\""); 10_000].join(", ");
    let answer =
        root().put(format!("/v2/{repository}/manifests/v1")).header("If-Match", long).body("x").try_send();
    assert!(answer.map_or(true, |answer| matches!(answer.status, 400 | 412 | 431)));
    root().get(format!("/v2/{repository}/manifests/absent")).send().assert_error(404, "MANIFEST_UNKNOWN");
    assert_alive();
}

#[test]
fn configurations_may_be_anything() {
    // XM19
    let repository = fresh_repository("manifests");
    let layer = unique_bytes(100);
    root().push_blob(&repository, &layer);
    let large = unique_bytes(if is_full_run() { 1 << 30 } else { 8 << 20 });
    for (tag, config) in [
        ("empty", Vec::new()),
        ("noise", unique_bytes(512)),
        ("short", b"{\"rootfs\":{\"diff_ids\":[]}}".to_vec()),
        ("large", large),
    ] {
        root().push_blob(&repository, &config);
        root().put_image(&repository, tag, &bytes_of(&content::image(&config, &[&layer])));
        root().get(format!("/v2/{repository}/manifests/{tag}")).send().assert_status(200);
    }
    assert_alive();
}

#[test]
fn a_tag_put_by_many_at_once_is_always_one_of_them() {
    // XM20
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("manifests");
    let images: Vec<Image> = (0..10).map(|_| client.push_image(&repository, "seed")).collect();
    let rounds = if is_full_run() { 1000 } else { 20 };
    thread::scope(|scope| {
        for image in &images {
            let (client, repository, images) = (&client, &repository, &images);
            scope.spawn(move || {
                for _ in 0..rounds {
                    client.put_image(repository, "hot", &image.manifest);
                    let found = client.get(format!("/v2/{repository}/manifests/hot")).send();
                    found.assert_status(200);
                    assert!(images.iter().any(|image| image.manifest == found.body));
                }
            });
        }
    });
    assert_eq!(client.tags(&repository), ["hot", "seed"]);
    client.assert_serves();
}
