//! Where the next page of a list begins, as a text that only that list takes (§4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::ecr::failure::Failure;
use crate::ecr::operation::Operation;
use crate::identity::RegistryId;

/// Stands before everything that is hashed; another form of tokens gets another one.
const DOMAIN: &str = "shoal page token 1";
/// How much of the hash a token carries, in bytes. It tells tokens of other lists and damaged ones apart; it keeps
/// nobody from making one, who could do no more with it than begin anywhere in a list that he may read.
const CHECK: usize = 12;
/// Longest token in characters that is looked at. A position is a name, or a number and a digest.
const MAX_TOKEN: usize = 2048;

/// The list that a token belongs to. Nothing of it is stored, so a token has no end of life; the page size is no part
/// of it, and may change from page to page.
#[derive(Clone, Copy, Debug)]
pub struct PageToken<'a> {
    /// Whose list, and where.
    pub registry: &'a RegistryId,
    /// Which list.
    pub operation: Operation,
    /// What else decides on what is in it: the repository, what the request filters by; in an order that the
    /// operation fixes, absent ones as empty texts.
    pub filter: &'a [&'a str],
}

impl PageToken<'_> {
    /// The token of the page that begins after `position`, which is seen by whoever decodes the token.
    pub fn seal(&self, position: &str) -> String {
        let mut token = self.check(position).to_vec();
        token.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The position in a token of this list. Only its form is known to be ours.
    ///
    /// # Errors
    /// `InvalidParameterException` for any other text.
    pub fn open(&self, token: &str) -> Result<String, Failure> {
        self.position(token).ok_or_else(|| Failure::invalid_parameter("nextToken", "Invalid token"))
    }

    fn position(&self, token: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(Some(token).filter(|token| token.len() <= MAX_TOKEN)?).ok()?;
        let (check, position) = bytes.split_at_checked(CHECK)?;
        let position = str::from_utf8(position).ok()?;
        (self.check(position) == check).then(|| position.to_owned())
    }

    fn check(&self, position: &str) -> [u8; CHECK] {
        let operation = self.operation.target();
        let fixed = [DOMAIN, self.registry.account.as_str(), self.registry.region.as_str(), &operation];
        let mut hash = Sha256::new();
        for part in fixed.iter().chain(self.filter).chain([&position]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        std::array::from_fn(|place| hash[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::{Exception, Name, Service};
    use proptest::prelude::*;

    fn registry(account: &str, region: &str) -> RegistryId {
        RegistryId {
            account: account.parse().expect("an account"),
            region: region.parse().expect("a region"),
        }
    }

    fn operation(service: Service, name: Name) -> Operation {
        Operation::new(service, name).expect("it exists")
    }

    #[test]
    fn a_token_opens_where_it_was_sealed() {
        let home = registry("123456789012", "eu-west-1");
        let images = operation(Service::Ecr, Name::ListImages);
        let list = PageToken { registry: &home, operation: images, filter: &["a/b", ""] };
        let token = list.seal("17 sha256:00");
        assert_eq!(list.open(&token).expect("ours"), "17 sha256:00");
        assert_eq!(list.open(&list.seal("")).expect("ours"), "");
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let home = registry("123456789012", "eu-west-1");
        let images = operation(Service::Ecr, Name::DescribeImages);
        let list = PageToken { registry: &home, operation: images, filter: &["a/b", "TAGGED"] };
        let token = list.seal("a");
        for other in [
            PageToken { registry: &registry("123456789013", "eu-west-1"), ..list },
            PageToken { registry: &registry("123456789012", "eu-west-2"), ..list },
            PageToken { operation: operation(Service::Ecr, Name::ListImages), ..list },
            PageToken { operation: operation(Service::EcrPublic, Name::DescribeImages), ..list },
            PageToken { filter: &["a/b", ""], ..list },
            PageToken { filter: &["a/bTAGGED"], ..list },
            PageToken { filter: &["a/b", "TAGGED", ""], ..list },
            PageToken { filter: &["a/b"], ..list },
        ] {
            let failure = other.open(&token).expect_err("it is of another list");
            assert_eq!(failure.exception(), Exception::InvalidParameter);
            assert_eq!(
                failure.message(),
                "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'"
            );
        }
    }

    proptest! {
        #[test]
        fn a_damaged_token_is_refused(position in ".{0,40}", place: proptest::sample::Index, other in "[a-zA-Z0-9_-]") {
            let home = registry("123456789012", "eu-west-1");
            let images = operation(Service::Ecr, Name::ListImages);
            let list = PageToken { registry: &home, operation: images, filter: &[] };
            let token = list.seal(&position);
            let place = place.index(token.len());
            let damaged = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            prop_assert_eq!(list.open(&damaged).is_ok(), damaged == token);
            prop_assert!(list.open(&token[..place]).is_err());
        }

        #[test]
        fn any_text_is_refused_without_panic(text: String) {
            let home = registry("123456789012", "eu-west-1");
            let images = operation(Service::Ecr, Name::ListImages);
            let list = PageToken { registry: &home, operation: images, filter: &[] };
            prop_assert!(list.open(&text).is_err());
        }
    }
}
