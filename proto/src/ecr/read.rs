//! Reads JSON as a shape says. A value of another type is refused here, in the words of AWS; whether a value is
//! within its constraints is asked later, because AWS reads all before it checks anything.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use serde_json::Value;

use crate::ecr::input::Input;
use crate::ecr::model::{Bounds, Kind, MAX_ITEMS, Member, Model, Shape, ShapeId};

/// A value of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum<'a> {
    /// `null` in a list or a map; as a member it is absent instead.
    Null,
    /// A string; borrowed unless the body has escapes in it.
    Text(Cow<'a, str>),
    /// Decoded.
    Blob(Vec<u8>),
    Boolean(bool),
    Integer(i64),
    Number(f64),
    /// At most one item more than the list may have.
    List(Vec<Datum<'a>>),
    Map(Vec<(String, Datum<'a>)>),
    Structure(Input<'a>),
}

impl Datum<'_> {
    /// As JSON again; a blob as base64.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::from(text.as_ref()),
            Self::Blob(bytes) => Value::from(STANDARD.encode(bytes)),
            Self::Boolean(flag) => Value::from(*flag),
            Self::Integer(number) => Value::from(*number),
            Self::Number(number) => Value::from(*number),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_value())).collect())
            }
            Self::Structure(input) => input.to_value(),
        }
    }
}

/// Reads one value of that shape.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) model: &'static Model,
    pub(super) shape: &'static Shape,
}

impl Reader {
    fn of(self, shape: ShapeId) -> Self {
        Self { shape: self.model.shape(shape), ..self }
    }

    /// What AWS says of a scalar that should have been something else.
    fn mismatch<E: Error>(self, found: &str) -> E {
        E::custom(match self.shape.kind {
            Kind::Text { .. } => format!("{found} can not be converted to a String"),
            Kind::Blob { .. } => format!("{found} can not be converted to a Blob"),
            Kind::Boolean => format!("{found} can not be converted to a Boolean"),
            Kind::Integer { .. } => format!("{found} can not be converted to an Integer"),
            Kind::Long { .. } => format!("{found} can not be converted to a Long"),
            Kind::Double | Kind::Timestamp => format!("{found} can not be converted to a Double"),
            Kind::List { .. } => "Expected list or null".to_owned(),
            Kind::Map { .. } | Kind::Structure(_) => "Expected structure or map or null".to_owned(),
        })
    }

    fn whole<'a, E: Error>(self, number: Option<i64>) -> Result<Datum<'a>, E> {
        let fits = |number: &i64| match self.shape.kind {
            Kind::Integer { .. } => i32::try_from(*number).is_ok(),
            Kind::Long { .. } => true,
            _ => false,
        };
        number.filter(fits).map(Datum::Integer).ok_or_else(|| self.mismatch("NUMBER_VALUE"))
    }

    fn text<'a, E: Error>(self, text: &str, datum: impl FnOnce() -> Cow<'a, str>) -> Result<Datum<'a>, E> {
        match self.shape.kind {
            Kind::Text { .. } => Ok(Datum::Text(datum())),
            Kind::Blob { .. } => {
                let blob = STANDARD.decode(text).map_err(|_| E::custom("Invalid base64 in a Blob"))?;
                Ok(Datum::Blob(blob))
            }
            _ => Err(self.mismatch("STRING_VALUE")),
        }
    }

    fn structure<'de, A: MapAccess<'de>>(
        self,
        members: &'static [Member],
        mut map: A,
    ) -> Result<Datum<'de>, A::Error> {
        let mut input = Input::new(members);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let Some(member) = members.iter().find(|member| member.name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match map.next_value_seed(self.of(member.shape))? {
                Datum::Null => {}
                datum => input.push(member.name, datum),
            }
        }
        Ok(Datum::Structure(input))
    }
}

/// How many items of a list are kept: enough to see that they are too many.
pub(super) fn kept(bounds: Bounds) -> usize {
    let max = bounds.max.unwrap_or(MAX_ITEMS);
    usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1)
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Datum<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Datum<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Datum<'de>, E> {
        Ok(Datum::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Datum<'de>, E> {
        match self.shape.kind {
            Kind::Boolean => Ok(Datum::Boolean(value)),
            _ => Err(self.mismatch(if value { "TRUE_VALUE" } else { "FALSE_VALUE" })),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Datum<'de>, E> {
        match self.shape.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the shape has")]
            Kind::Double | Kind::Timestamp => Ok(Datum::Number(number as f64)),
            _ => self.whole(Some(number)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Datum<'de>, E> {
        match self.shape.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the shape has")]
            Kind::Double | Kind::Timestamp => Ok(Datum::Number(number as f64)),
            _ => self.whole(i64::try_from(number).ok()),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Datum<'de>, E> {
        match self.shape.kind {
            Kind::Double | Kind::Timestamp => Ok(Datum::Number(number)),
            _ => self.whole(None),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Datum<'de>, E> {
        self.text(text, || Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Datum<'de>, E> {
        self.text(text, || Cow::Owned(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum<'de>, A::Error> {
        let Kind::List { bounds, item } = self.shape.kind else {
            return Err(A::Error::custom("Start of list found where not expected"));
        };
        let mut items = Vec::new();
        while let Some(datum) = seq.next_element_seed(self.of(item))? {
            if items.len() < kept(bounds) {
                items.push(datum);
            }
        }
        Ok(Datum::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Datum<'de>, A::Error> {
        match &self.shape.kind {
            Kind::Structure(members) => self.structure(members, map),
            Kind::Map { value, .. } => {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    let datum = map.next_value_seed(self.of(*value))?;
                    if entries.len() < kept(Bounds::default()) {
                        entries.push((key, datum));
                    }
                }
                Ok(Datum::Map(entries))
            }
            _ => Err(A::Error::custom("Start of structure or map found where not expected.")),
        }
    }
}
