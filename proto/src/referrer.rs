//! Referrers: manifests that name another one as their subject (OCI distribution-spec, "Listing Referrers").

use crate::digest::Digest;
use crate::name::Tag;

/// The tag under which clients older than the referrers API keep an index of the referrers of `subject`:
/// at most 32 characters of the algorithm, `-`, at most 64 characters of the encoded hash
/// (OCI distribution-spec, "Referrers Tag Schema"; row G11 of the checklist).
pub fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    let encoded = hex.get(..64).unwrap_or(&hex);
    format!("{}-{encoded}", subject.algorithm().name()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn the_fallback_tag_cuts_long_hashes() {
        let wide = Digest::of(Algorithm::Sha512, b"x");
        let tag = fallback_tag(&wide).expect("a valid tag");
        assert_eq!(tag.as_str(), format!("sha512-{}", &wide.hex()[..64]));
        let narrow = Digest::of(Algorithm::Sha256, b"x");
        let tag = fallback_tag(&narrow).expect("a valid tag");
        assert_eq!(tag.as_str(), format!("sha256-{}", narrow.hex()));
    }
}
