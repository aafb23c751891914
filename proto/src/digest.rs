//! Content digests: the immutable names of blobs and manifests.
//!
//! Owns the grammar of a digest (OCI image-spec, descriptor.md, "Digests") for the two registered
//! algorithms that Shoal stores, and the incremental hasher that produces one. Never does IO.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

/// A registered hash algorithm that Shoal accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, 32 bytes; what nearly every client uses.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Algorithm {
    /// The name used before the colon of a digest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the hash in bytes.
    pub fn hash_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnsupportedAlgorithm),
        }
    }
}

/// Why a text is not a digest that Shoal can store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:encoded` form.
    #[error("a digest has the form algorithm:hex")]
    Malformed,
    /// The algorithm is neither sha256 nor sha512.
    #[error("the digest algorithm is not supported: use sha256 or sha512")]
    UnsupportedAlgorithm,
    /// The encoded part is not lower-case hex of the exact length.
    #[error("the encoded part is not lower-case hex of the algorithm's length")]
    BadEncoding,
}

/// The digest of some content. Parsed once; always valid. Ordered by algorithm, then bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, left aligned; bytes past the algorithm's length are zero.
    bytes: [u8; 64],
}

impl Digest {
    /// Hashes `content` that is at hand.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash: 32 or 64 bytes.
    pub fn hash(&self) -> &[u8] {
        &self.bytes[..self.algorithm.hash_len()]
    }

    /// The part after the colon.
    pub fn hex(&self) -> String {
        self.hash().iter().fold(String::with_capacity(128), |mut text, byte| {
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 15)]);
            text
        })
    }

    /// Compact form for ordered keys and messages: one algorithm byte, then the hash. The length
    /// follows from the first byte, so it can stand in the middle of a composite key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(65);
        out.push(self.algorithm.code());
        out.extend_from_slice(self.hash());
        out
    }

    /// Reads what [`Digest::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&code, hash) = bytes.split_first()?;
        let algorithm = match code {
            1 => Algorithm::Sha256,
            2 => Algorithm::Sha512,
            _ => return None,
        };
        Self::from_hash(algorithm, hash)
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        if hash.len() != algorithm.hash_len() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes[..hash.len()].copy_from_slice(hash);
        Some(Self { algorithm, bytes })
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm: Algorithm = algorithm.parse()?;
        let encoded = encoded.as_bytes();
        if encoded.len() != algorithm.hash_len() * 2 {
            return Err(DigestError::BadEncoding);
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(encoded.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self { algorithm, bytes })
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::BadEncoding),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An incremental hash over content that arrives in parts.
#[derive(Clone)]
pub struct Hasher(Inner);

#[derive(Clone)]
enum Inner {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Starts a hash over nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => Inner::Sha256(Sha256::new()),
            Algorithm::Sha512 => Inner::Sha512(Box::new(Sha512::new())),
        })
    }

    /// The algorithm this hasher was made for.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Inner::Sha256(_) => Algorithm::Sha256,
            Inner::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, part: &[u8]) {
        match &mut self.0 {
            Inner::Sha256(hash) => hash.update(part),
            Inner::Sha512(hash) => hash.update(part),
        }
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        match self.0 {
            Inner::Sha256(hash) => {
                bytes[..32].copy_from_slice(&hash.finalize());
                Digest { algorithm: Algorithm::Sha256, bytes }
            }
            Inner::Sha512(hash) => {
                bytes.copy_from_slice(&hash.finalize());
                Digest { algorithm: Algorithm::Sha512, bytes }
            }
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_digests_are_computed() {
        assert_eq!(
            Digest::of(Algorithm::Sha256, b"{}").to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert!(Digest::of(Algorithm::Sha512, b"").to_string().starts_with("sha512:cf83e1357eefb8bd"));
    }

    #[test]
    fn hostile_texts_are_refused() {
        let good = "a".repeat(64);
        for text in [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            format!(":{good}"),
            "sha256:../../etc/x".into(),
            "sha256:baddigeststring".into(),
            format!("sha256:{}", &good[1..]),
            format!("sha256:{good}a"),
            format!("sha256:{}", good.to_uppercase()),
            format!("SHA256:{good}"),
            format!("md5:{}", &good[..32]),
            format!("sha512:{good}"),
            format!("sha256:{}\0", &good[1..]),
            format!("sha256:{}é", &good[2..]),
            format!(" sha256:{good}"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_content_round_trips_through_text_and_bytes(content: Vec<u8>, wide: bool) {
            let algorithm = if wide { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let digest = Digest::of(algorithm, &content);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_bytes(&digest.to_bytes()), Some(digest));
        }

        #[test]
        fn parsing_never_panics_and_accepts_only_what_it_prints(text in "\\PC{0,140}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
