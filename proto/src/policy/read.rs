//! Reading policies: strict when one is put, never failing when one is stored.
//!
//! Owns the shape of the document: which members there are, which must be, which exclude each other (IAM user guide,
//! "Grammar of the IAM JSON policy language"), and the rules of each [`Kind`].

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::policy::action::ActionPattern;
use crate::policy::condition::{Condition, ConditionError, Variables};
use crate::policy::error::{PolicyError, StatementError};
use crate::policy::key::ConditionKey;
use crate::policy::pattern::{ArnPattern, Syntax, shorten};
use crate::policy::principal::PrincipalName;
use crate::policy::{Effect, Element, Extensions, Kind, MAX_DEPTH, MAX_POLICY, Policy, Statement};
use crate::strict_json;

impl Policy {
    /// Reads a policy that somebody puts: refuses all that is not understood.
    pub fn parse(text: &[u8], kind: Kind, extensions: Extensions) -> Result<Self, PolicyError> {
        let (document, rules) = document(text, kind, extensions)?;
        if let Some(unknown) =
            document.keys().find(|name| !matches!(name.as_str(), "Version" | "Id" | "Statement"))
        {
            return Err(PolicyError::Member(shorten(unknown)));
        }
        if document.get("Id").is_some_and(|id| kind == Kind::Identity || !id.is_string()) {
            return Err(PolicyError::Member("Id".into()));
        }
        let mut statements = Vec::new();
        let mut sids = BTreeSet::new();
        for (number, statement) in statements_of(&document)?.iter().enumerate() {
            let statement =
                rules.statement(statement).map_err(|reason| PolicyError::Statement { number, reason })?;
            let repeated = statement.sid.clone().is_some_and(|sid| !sids.insert(sid));
            if kind == Kind::Identity && repeated {
                return Err(PolicyError::SameSid);
            }
            statements.push(statement);
        }
        Ok(Self { statements })
    }

    /// Reads a policy that is stored. What this release does not understand, since another one stored it, allows
    /// nothing and denies all that it might mean (XP2): an Allow is left out, a Deny loses the elements that narrow it.
    pub fn stored(text: &[u8], kind: Kind) -> Self {
        let deny_all = || vec![Rules::unread(None)];
        let Ok((document, rules)) = document(text, kind, Extensions::Allowed) else {
            return Self { statements: deny_all() };
        };
        let Ok(statements) = statements_of(&document) else { return Self { statements: deny_all() } };
        let allows = |statement: &Value| {
            let effect = statement.get("Effect").and_then(Value::as_str);
            effect.is_some_and(|effect| effect.eq_ignore_ascii_case("Allow"))
        };
        let read = |statement| match rules.statement(statement) {
            Ok(statement) => Some(statement),
            Err(_) if allows(statement) => None,
            Err(_) => Some(rules.denial(statement)),
        };
        Self { statements: statements.iter().filter_map(read).collect() }
    }
}

/// The document's members, and by which rules its statements are read.
fn document(
    text: &[u8],
    kind: Kind,
    extensions: Extensions,
) -> Result<(Map<String, Value>, Rules), PolicyError> {
    // A character has at most four bytes; so nothing long is even decoded.
    let characters = |text: &[u8]| String::from_utf8_lossy(text).chars().count();
    if text.len() > 4 * MAX_POLICY || characters(text) > MAX_POLICY {
        return Err(PolicyError::TooLong);
    }
    strict_json::check(text, MAX_DEPTH)?;
    let document: Map<String, Value> = serde_json::from_slice(text)?;
    let variables = match document.get("Version").map(Value::as_str) {
        None | Some(Some("2008-10-17")) => Variables::Text,
        Some(Some("2012-10-17")) => Variables::Inserted,
        Some(_) => return Err(PolicyError::Version),
    };
    Ok((document, Rules { kind, extensions, variables }))
}

fn statements_of(document: &Map<String, Value>) -> Result<&[Value], PolicyError> {
    match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => Ok(statements),
        Some(one @ Value::Object(_)) => Ok(std::slice::from_ref(one)),
        _ => Err(PolicyError::NoStatement),
    }
}

/// How statements of one document are read.
struct Rules {
    kind: Kind,
    extensions: Extensions,
    variables: Variables,
}

/// The members of a statement.
const MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

impl Rules {
    fn statement(&self, statement: &Value) -> Result<Statement, StatementError> {
        let members = statement.as_object().ok_or(StatementError::Type("Statement"))?;
        if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(StatementError::Member(shorten(unknown)));
        }
        Ok(Statement {
            sid: self.sid(members)?,
            effect: match members.get("Effect").map(Value::as_str) {
                Some(Some("Allow")) => Effect::Allow,
                Some(Some("Deny")) => Effect::Deny,
                Some(_) => return Err(StatementError::Effect),
                None => return Err(StatementError::Missing("Effect")),
            },
            principals: self.principals(members)?,
            actions: self.actions(members)?,
            resources: self.resources(members)?,
            conditions: self.conditions(members)?.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// A Deny that denies all.
    fn unread(sid: Option<String>) -> Statement {
        Statement {
            sid,
            effect: Effect::Deny,
            principals: Element::all(),
            actions: Element::all(),
            resources: Element::all(),
            conditions: Vec::new(),
        }
    }

    /// A statement that is refused, as a Deny by as much of it as is understood.
    fn denial(&self, statement: &Value) -> Statement {
        let mut denial = Self::unread(None);
        let Some(members) = statement.as_object() else { return denial };
        denial.sid = self.sid(members).unwrap_or_default();
        denial.principals = self.principals(members).unwrap_or(denial.principals);
        denial.actions = self.actions(members).unwrap_or(denial.actions);
        denial.resources = self.resources(members).unwrap_or(denial.resources);
        denial.conditions = self.conditions(members).into_iter().flatten().flatten().collect();
        denial
    }

    fn sid(&self, members: &Map<String, Value>) -> Result<Option<String>, StatementError> {
        let Some(sid) = members.get("Sid") else { return Ok(None) };
        let sid = sid.as_str().ok_or(StatementError::Type("Sid"))?;
        let plain = sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if self.kind == Kind::Identity && !plain {
            return Err(StatementError::Sid);
        }
        Ok(Some(sid.to_owned()))
    }

    fn principals(&self, members: &Map<String, Value>) -> Result<Element<PrincipalName>, StatementError> {
        let found = either(members, "Principal", "NotPrincipal")?;
        let (value, element): (_, fn(_) -> _) = match (found, self.kind) {
            (None, Kind::Identity) => return Ok(Element::all()),
            (Some(_), Kind::Identity) => return Err(StatementError::Principals),
            (None, _) => return Err(StatementError::Missing("Principal")),
            (Some((value, element)), _) => (value, element),
        };
        let lists = match value {
            Value::String(text) if text == "*" => return Ok(element(vec![PrincipalName::Everyone])),
            Value::Object(lists) => lists,
            _ => return Err(StatementError::Type("Principal")),
        };
        let mut names = Vec::new();
        for (kind, list) in lists {
            for text in texts(list, "Principal")? {
                names.push(PrincipalName::parse(kind, text)?);
            }
        }
        if names.is_empty() { Err(StatementError::Empty("Principal")) } else { Ok(element(names)) }
    }

    fn actions(&self, members: &Map<String, Value>) -> Result<Element<ActionPattern>, StatementError> {
        let (value, element) =
            either(members, "Action", "NotAction")?.ok_or(StatementError::Missing("Action"))?;
        let parse = |text| ActionPattern::parse(text, self.kind.service());
        Ok(element(texts(value, "Action")?.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    fn resources(&self, members: &Map<String, Value>) -> Result<Element<ArnPattern>, StatementError> {
        let Some((value, element)) = either(members, "Resource", "NotResource")? else {
            return match self.kind {
                Kind::Repository | Kind::PublicRepository | Kind::Trust => Ok(Element::all()),
                Kind::Identity | Kind::Registry => Err(StatementError::Missing("Resource")),
            };
        };
        if self.kind == Kind::Trust {
            return Err(StatementError::Resources);
        }
        let syntax = Syntax { wildcards: true, variables: self.variables == Variables::Inserted };
        let parse = |text| ArnPattern::parse_resource(text, syntax);
        Ok(element(texts(value, "Resource")?.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Each condition, read or not.
    fn conditions(
        &self,
        members: &Map<String, Value>,
    ) -> Result<Vec<Result<Condition, StatementError>>, StatementError> {
        let Some(operators) = members.get("Condition") else { return Ok(Vec::new()) };
        let operators = operators.as_object().ok_or(StatementError::Type("Condition"))?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let Some(keys) = keys.as_object() else {
                conditions.push(Err(StatementError::Type("Condition")));
                continue;
            };
            conditions.extend(keys.iter().map(|(key, values)| self.condition(operator, key, values)));
        }
        Ok(conditions)
    }

    fn condition(&self, operator: &str, key: &str, values: &Value) -> Result<Condition, StatementError> {
        let key: ConditionKey = key.parse().map_err(ConditionError::from)?;
        if key.is_extension() && self.extensions == Extensions::Refused {
            return Err(ConditionError::Extension(key).into());
        }
        let values = match values {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        // Numbers and truth may stand without quotes.
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            _ => Err(StatementError::Type("Condition")),
        };
        let values: Vec<String> = values.iter().map(text).collect::<Result<_, _>>()?;
        Ok(Condition::parse(operator, key, &values, self.variables)?)
    }
}

/// The value of a member or of its negated form, and which of both it is.
#[expect(clippy::type_complexity, reason = "a value and what to make of it")]
fn either<'a, T>(
    members: &'a Map<String, Value>,
    name: &'static str,
    negated: &'static str,
) -> Result<Option<(&'a Value, fn(Vec<T>) -> Element<T>)>, StatementError> {
    match (members.get(name), members.get(negated)) {
        (Some(_), Some(_)) => Err(StatementError::Both(name)),
        (Some(value), None) => Ok(Some((value, Element::Only))),
        (None, Some(value)) => Ok(Some((value, Element::AllBut))),
        (None, None) => Ok(None),
    }
}

/// One text or a list of them, not empty.
fn texts<'a>(value: &'a Value, name: &'static str) -> Result<Vec<&'a str>, StatementError> {
    let values = match value {
        Value::Array(values) if values.is_empty() => return Err(StatementError::Empty(name)),
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    values.iter().map(|value| value.as_str().ok_or(StatementError::Type(name))).collect()
}
