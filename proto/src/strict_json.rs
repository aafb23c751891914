//! Strict JSON: what other parsers might read differently is refused before anything is believed.
//!
//! Refused beyond serde_json's own grammar: keys that appear twice at any depth (after unescaping;
//! CVE-2017-12635), NUL in strings, lone surrogates, and anything that is not one UTF-8 object. Nesting is bounded
//! by the caller, and by serde_json (128 levels).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Walks the whole document once; keeps nothing but the keys of the objects it is inside of. Objects and lists may
/// be nested `depth` levels, the document itself being the first.
pub(crate) fn check(bytes: &[u8], depth: usize) -> Result<(), serde_json::Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| serde_json::Error::custom("not UTF-8"))?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(serde_json::Error::custom("not a JSON object"));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    Strict { depth }.deserialize(&mut parser)?;
    parser.end()
}

struct Strict {
    /// Levels of objects and lists that may still follow.
    depth: usize,
}

impl Strict {
    fn inner<E: Error>(&self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("NUL in a string")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        while seq.next_element_seed(Strict { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.inner()?;
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.contains('\0') {
                return Err(A::Error::custom("NUL in a key"));
            }
            if !seen.insert(key) {
                return Err(A::Error::custom("a key appears twice"));
            }
            map.next_value_seed(Strict { depth })?;
        }
        Ok(())
    }
}
