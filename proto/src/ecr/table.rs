//! Reads a table. Lines that are empty or begin with `#` say nothing; the others are:
//!
//! ```text
//! Operation | inputs | outputs | exceptions
//! Scalar: kind min..max /pattern/ enum VALUE VALUE
//! List = [Item] min..max
//! Map = map<Key,Value>
//! Structure = member!:Shape member
//! ```
//!
//! Shapes may share a line, ` ; ` between them. `!` marks a member that is required. A member without a shape has the
//! one of its own name with a capital. `-` stands for no members. A scalar without a kind is a string; `string` says
//! that of one without constraints. Exceptions are written without their suffix, some abbreviated
//! (`Exception::from_table`). The lines are those of §2 and §3, with the shapes of the operations' members added.

use std::collections::BTreeMap;

use crate::ecr::exception::Exception;
use crate::ecr::model::{Bounds, Definition, Kind, Member, Model, Pattern, Shape, ShapeId};
use crate::ecr::operation::Name;

/// Why a table is none.
#[derive(Debug, thiserror::Error)]
#[error("{entry}: {reason}")]
pub(super) struct TableError {
    /// The line, or the shape in it.
    entry: &'static str,
    reason: &'static str,
}

/// What the shapes are called, in the order in which they come; inputs and outputs follow.
type Places = BTreeMap<&'static str, ShapeId>;

/// Reads the whole table; every shape that is named must be there, and every name known.
pub(super) fn parse(text: &'static str) -> Result<Model, TableError> {
    let lines = || text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries = || lines().filter(|line| !line.contains(" | ")).flat_map(|line| line.split(" ; "));
    let mut places = Places::new();
    for (place, entry) in entries().enumerate() {
        let end = entry.find([':', ' ']).ok_or(TableError { entry, reason: "no shape" })?;
        if places.insert(&entry[..end], ShapeId(place)).is_some() {
            return Err(TableError { entry, reason: "a shape of that name is there already" });
        }
    }
    let mut shapes = entries().map(|entry| shape(entry, &places)).collect::<Result<Vec<_>, _>>()?;
    let mut operations = BTreeMap::new();
    for line in lines().filter(|line| line.contains(" | ")) {
        let error = |reason| TableError { entry: line, reason };
        let fields: Vec<&str> = line.split(" | ").collect();
        let [name, inputs, outputs, exceptions] = fields[..] else { return Err(error("not four fields")) };
        let mut add = |members| -> Result<ShapeId, TableError> {
            let members = if members == "-" { "" } else { members };
            shapes.push(Shape { name, kind: Kind::Structure(structure(members, &places)?) });
            Ok(ShapeId(shapes.len() - 1))
        };
        let (input, output) = (add(inputs)?, add(outputs)?);
        let exceptions = exceptions.split(' ').map(Exception::from_table).collect::<Option<_>>();
        let exceptions = exceptions.ok_or(error("an exception that is not known"))?;
        let key = Name::from_wire(name).ok_or(error("an operation that is not known"))?;
        if operations.insert(key, Definition { input, output, exceptions }).is_some() {
            return Err(error("an operation of that name is there already"));
        }
    }
    Ok(Model::new(shapes, operations))
}

fn shape(entry: &'static str, places: &Places) -> Result<Shape, TableError> {
    if let Some((name, rest)) = entry.split_once(": ") {
        let kind = scalar(rest).map_err(|reason| TableError { entry, reason })?;
        return Ok(Shape { name, kind });
    }
    let (name, rest) =
        entry.split_once(" = ").ok_or(TableError { entry, reason: "neither scalar nor other" })?;
    let place = |shape: &'static str| place(shape, places);
    let kind = if let Some((item, size)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let bounds = bounds(size.trim_start()).map_err(|reason| TableError { entry, reason })?;
        Kind::List { bounds, item: place(item)? }
    } else if let Some(pair) = rest.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
        let (key, value) =
            pair.split_once(',').ok_or(TableError { entry, reason: "not a key and a value" })?;
        Kind::Map { key: place(key)?, value: place(value)? }
    } else {
        Kind::Structure(structure(rest, places)?)
    };
    Ok(Shape { name, kind })
}

fn structure(members: &'static str, places: &Places) -> Result<Vec<Member>, TableError> {
    let member = |entry: &'static str| {
        let (name, shape) = match entry.split_once(':') {
            Some((name, shape)) => (name, Some(place(shape, places)?)),
            None => (entry, None),
        };
        let (name, required) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let own = |(key, _): &(&&'static str, &ShapeId)| {
            key.len() == name.len() && key[1..] == name[1..] && key[..1] == name[..1].to_ascii_uppercase()
        };
        let shape = shape.or_else(|| places.iter().find(own).map(|(_, id)| *id));
        let shape = shape.ok_or(TableError { entry, reason: "no shape has this name" })?;
        Ok(Member { name, required, shape })
    };
    members.split_ascii_whitespace().map(member).collect()
}

fn place(shape: &'static str, places: &Places) -> Result<ShapeId, TableError> {
    places.get(shape).copied().ok_or(TableError { entry: shape, reason: "no such shape" })
}

/// `kind min..max /pattern/ enum VALUE VALUE`; each may be left out.
fn scalar(text: &'static str) -> Result<Kind, &'static str> {
    let (text, values) = match text.split_once("enum ") {
        Some((rest, values)) => (rest.trim_end(), values.split(' ').collect()),
        None => (text, Vec::new()),
    };
    let (text, pattern) = match text.split_once('/') {
        Some((rest, pattern)) => {
            (rest.trim_end(), Some(pattern.strip_suffix('/').ok_or("a pattern without end")?))
        }
        None => (text, None),
    };
    let (kind, size) = match text.split_once(' ') {
        Some((kind, size)) => (kind, size),
        None if text.contains("..") => ("", text),
        None => (text, ""),
    };
    let bounds = bounds(size)?;
    let plain = pattern.is_none() && values.is_empty();
    let pattern = pattern.map(Pattern::new).transpose().map_err(|_| "not a pattern")?;
    let kind = match kind {
        "" => Kind::Text { bounds, pattern, values },
        "string" if bounds == Bounds::default() && plain => Kind::Text { bounds, pattern, values },
        "blob" if plain => Kind::Blob { bounds },
        "integer" if plain => Kind::Integer { bounds },
        "long" if plain => Kind::Long { bounds },
        "boolean" if bounds == Bounds::default() && plain => Kind::Boolean,
        "double" if bounds == Bounds::default() && plain => Kind::Double,
        "timestamp" if bounds == Bounds::default() && plain => Kind::Timestamp,
        _ => return Err("not a kind, or a constraint that the kind does not take"),
    };
    Ok(kind)
}

/// `min..max` or `min..`, or nothing.
fn bounds(text: &str) -> Result<Bounds, &'static str> {
    if text.is_empty() {
        return Ok(Bounds::default());
    }
    let (min, max) = text.split_once("..").ok_or("not bounds")?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| "not a number");
    let max = if max.is_empty() { None } else { Some(number(max)?) };
    Ok(Bounds { min: Some(number(min)?), max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::operation::Service;

    #[test]
    fn both_tables_parse_and_no_shape_is_idle() {
        for service in Service::ALL {
            let model = Model::of(service);
            let mut used = std::collections::BTreeSet::new();
            for name in Name::ALL {
                for shape in model.input(*name).into_iter().chain(model.output(*name)) {
                    reach(model, shape, &mut used, 0);
                }
            }
            let idle: Vec<_> = model
                .shapes()
                .map(|shape| shape.name)
                .filter(|name| !used.contains(name) && !name.ends_with("Exception"))
                .collect();
            assert!(idle.iter().all(|name| ["ExceptionMessage", "KmsError"].contains(name)), "{idle:?}");
        }
    }

    /// Follows a shape to all that it holds; none holds itself.
    fn reach(model: &Model, shape: &Shape, used: &mut std::collections::BTreeSet<&str>, depth: usize) {
        assert!(depth < 12, "{}", shape.name);
        used.insert(shape.name);
        let inner: Vec<ShapeId> = match &shape.kind {
            Kind::List { item, .. } => vec![*item],
            Kind::Map { key, value } => vec![*key, *value],
            Kind::Structure(members) => members.iter().map(|member| member.shape).collect(),
            _ => Vec::new(),
        };
        for id in inner {
            reach(model, model.shape(id), used, depth + 1);
        }
    }

    #[test]
    fn a_malformed_table_says_where() {
        for (table, reason) in [
            ("Lone", "no shape"),
            ("A: string\nA: 1..2", "already"),
            ("A: 1..x", "not a number"),
            ("A: 12", "not a kind"),
            ("A: boolean 1..2", "not a kind"),
            ("A: integer /a/", "not a kind"),
            ("A: /a", "without end"),
            ("A: /(/", "not a pattern"),
            ("A = [B]", "no such shape"),
            ("A = map<B>", "a key and a value"),
            ("A = b", "no shape has this name"),
            ("PutImage | - | -", "four fields"),
            ("PutImage | - | - | Odd", "exception"),
            ("PutImages | - | - | IP", "operation that is not known"),
            ("PutImage | - | - | IP\nPutImage | - | - | IP", "already"),
            ("PutImage | a! | - | IP", "no shape has this name"),
        ] {
            let error = parse(table).expect_err(table).to_string();
            assert!(error.contains(reason), "{table}: {error}");
        }
    }
}
