//! Query strings: bounded, decoded once, with the few rules that parameters share.

use std::borrow::Cow;

use super::error::{Code, OciError};

/// Entries of a page when the client does not say.
pub(crate) const DEFAULT_PAGE: usize = 1000;
/// Most entries of a page; larger wishes are cut to it (T8).
pub(crate) const MAX_PAGE: usize = 10_000;

/// The decoded pairs of a query string, in order.
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads what follows the `?`; the target as a whole is bounded already.
    pub(crate) fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The page size asked for by `n`: absent is the default, too large is cut, anything but a
    /// non-negative integer is refused (T4, T8, T9).
    pub(crate) fn page_size(&self) -> Result<usize, OciError> {
        let Some(text) = self.get("n") else {
            return Ok(DEFAULT_PAGE);
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(OciError::new(Code::PageSizeInvalid, "n must be a non-negative integer"));
        }
        Ok(text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
    }
}

/// `path?query` for a `Location` or `Link`, with every value encoded.
pub(crate) fn target(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(query: &str) -> Option<usize> {
        Query::parse(Some(query)).page_size().ok()
    }

    #[test]
    fn page_sizes_are_cut_and_nonsense_is_refused() {
        assert_eq!(size(""), Some(DEFAULT_PAGE));
        assert_eq!(size("n=0"), Some(0));
        assert_eq!(size("n=7&n=9"), Some(7));
        assert_eq!(size("n=99999999999999999999999"), Some(MAX_PAGE));
        for bad in ["n=", "n=-1", "n=abc", "n=1e9", "n=+1", "n=%00"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn targets_are_encoded() {
        assert_eq!(
            target("/v2/_catalog", &[("n", "1"), ("last", "a/b\r\n")]),
            "/v2/_catalog?n=1&last=a%2Fb%0D%0A"
        );
    }
}
