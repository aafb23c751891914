//! `Warning` headers, when there are any, have the one allowed form (checklist H7).

use crate::root;
use tests::registry::fresh_repository;

#[test]
fn warnings_have_code_299_and_are_short() {
    let repository = fresh_repository("warnings");
    let image = root().push_image(&repository, "v1");
    for path in [
        "/v2/".to_owned(),
        "/v2/_catalog".into(),
        format!("/v2/{repository}/tags/list"),
        format!("/v2/{repository}/manifests/v1"),
        format!("/v2/{repository}/manifests/{}", image.digest),
        format!("/v2/{repository}/referrers/{}", image.digest),
    ] {
        let answer = root().get(&path).send();
        answer.assert_status(200);
        let warnings: Vec<&str> = answer.all("warning").collect();
        for warning in &warnings {
            let text = warning.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
            assert!(text.is_some_and(|text| !text.is_empty()), "{warning}");
        }
        assert!(warnings.concat().len() <= 4096);
    }
}
