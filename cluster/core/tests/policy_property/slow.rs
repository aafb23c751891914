//! The rules of the ECR specification, §9.2, once more: slow and obvious, on the JSON itself.
//!
//! Knows nothing of the evaluator's types. Written from the rules, each named beside its line.

use std::net::IpAddr;

use serde_json::Value;

use crate::generate::{OWNER, Scenario, Who};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    ExplicitDeny,
    ImplicitDeny,
}

pub(crate) fn decide(scenario: &Scenario) -> Verdict {
    let account = account(&scenario.who);
    let root = matches!(scenario.who, Who::Root(_));
    // Identity policies belong to users and roles; a root has none, nor has who has no account.
    let identity: Vec<&Value> =
        if account.is_none() || root { vec![] } else { scenario.identity.iter().collect() };
    let session: Vec<&Value> = scenario.session.iter().collect();
    // GetAuthorizationToken has no resource side; what is no repository has no repository policy.
    let no_side = scenario.action == "ecr:GetAuthorizationToken";
    let repository = scenario.repository.iter().filter(|_| scenario.repository_name.is_some());
    let resource: Vec<&Value> = if no_side { vec![] } else { repository.chain(&scenario.registry).collect() };

    // 1. Any matching Deny anywhere: deny.
    let own_denies =
        says(scenario, &identity, "Deny", Side::Own) || says(scenario, &session, "Deny", Side::Own);
    if own_denies || says(scenario, &resource, "Deny", Side::Resource(Trust::Any)) {
        return Verdict::ExplicitDeny;
    }
    // A session policy only narrows.
    if !session.is_empty() && !says(scenario, &session, "Allow", Side::Own) {
        return Verdict::ImplicitDeny;
    }
    let identity_allows = root || says(scenario, &identity, "Allow", Side::Own);
    let allowed = match account {
        None => says(scenario, &resource, "Allow", Side::Resource(Trust::Any)),
        // 2. Same account: either side; trusting the account does not grant to its users.
        Some(OWNER) => {
            identity_allows || says(scenario, &resource, "Allow", Side::Resource(Trust::NotAccount))
        }
        // 3. Other account: both sides.
        Some(_) => identity_allows && says(scenario, &resource, "Allow", Side::Resource(Trust::Any)),
    };
    // 4. Else deny.
    if allowed { Verdict::Allow } else { Verdict::ImplicitDeny }
}

#[derive(Clone, Copy)]
enum Side {
    /// The principal is implied.
    Own,
    Resource(Trust),
}

#[derive(Clone, Copy, PartialEq)]
enum Trust {
    /// Account principals count.
    Any,
    /// They do not.
    NotAccount,
}

fn account(who: &Who) -> Option<&'static str> {
    match who {
        Who::Anonymous | Who::Service(_) => None,
        Who::Root(account) | Who::User(account, _) | Who::Session(account, ..) => Some(account),
    }
}

/// Whether any statement with that effect in any of these policies matches.
fn says(scenario: &Scenario, policies: &[&Value], effect: &str, side: Side) -> bool {
    policies.iter().any(|policy| {
        let new = policy["Version"] == "2012-10-17";
        let statements = match &policy["Statement"] {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        statements.iter().any(|statement| {
            statement["Effect"] == effect
                && match side {
                    Side::Own => true,
                    Side::Resource(trust) => principal_matches(scenario, statement, effect, trust),
                }
                && action_matches(scenario, statement)
                && resource_matches(scenario, statement, new)
                && conditions_match(scenario, statement, new)
        })
    })
}

fn strings(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// The names by which a caller is meant: itself, its role, its account.
fn names(who: &Who) -> [Option<String>; 3] {
    let root = |account: &str| Some(format!("arn:aws:iam::{account}:root"));
    match who {
        Who::Anonymous => [None, None, None],
        Who::Service(name) => [Some((*name).to_owned()), None, None],
        Who::Root(account) => [root(account), None, None],
        Who::User(account, name) => {
            [Some(format!("arn:aws:iam::{account}:user/{name}")), None, root(account)]
        }
        Who::Session(account, role, session) => {
            let short = role.rsplit('/').next().unwrap_or(role);
            [
                Some(format!("arn:aws:sts::{account}:assumed-role/{short}/{session}")),
                Some(format!("arn:aws:iam::{account}:role/{role}")),
                root(account),
            ]
        }
    }
}

fn principal_matches(scenario: &Scenario, statement: &Value, effect: &str, trust: Trust) -> bool {
    let [own, role, account] = names(&scenario.who);
    let listed = |element: &Value| -> Vec<String> {
        let mut all = Vec::new();
        match element {
            Value::Object(kinds) => kinds.values().for_each(|list| all.extend(strings(list))),
            one => all.extend(strings(one)),
        }
        let digits = |text: &str| text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
        let full = |text: String| if digits(&text) { format!("arn:aws:iam::{text}:root") } else { text };
        all.into_iter().map(full).collect()
    };
    let is = |list: &[String], name: &Option<String>| name.as_ref().is_some_and(|name| list.contains(name));
    if let Some(principal) = statement.get("Principal") {
        let list = listed(principal);
        let direct = list.contains(&"*".to_owned()) || is(&list, &own) || is(&list, &role);
        return direct || (trust == Trust::Any && is(&list, &account));
    }
    let list = listed(&statement["NotPrincipal"]);
    let exactly = list.contains(&"*".to_owned()) || is(&list, &own);
    // To the safe side: Deny spares the very principals, Allow leaves out all that are meant.
    if effect == "Deny" { !exactly } else { !(exactly || is(&list, &role) || is(&list, &account)) }
}

fn action_matches(scenario: &Scenario, statement: &Value) -> bool {
    let matches = |list: &Value| {
        strings(list).iter().any(|pattern| {
            let pattern: Vec<Mark> = marks(&pattern.to_lowercase());
            wild(&pattern, &scenario.action.to_lowercase().chars().collect::<Vec<_>>())
        })
    };
    statement.get("Action").map_or_else(|| !matches(&statement["NotAction"]), matches)
}

fn resource_matches(scenario: &Scenario, statement: &Value, new: bool) -> bool {
    let arn = scenario.repository_name.map(|name| format!("arn:aws:ecr:eu:{OWNER}:repository/{name}"));
    let matches = |list: &Value| {
        strings(list).iter().any(|pattern| match &arn {
            // An action without a resource has `*`.
            None => pattern == "*",
            Some(arn) => arn_matches(scenario, pattern, arn, new),
        })
    };
    match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(list), _) => matches(list),
        (None, Some(list)) => !matches(list),
        // A repository policy's resource is its repository.
        (None, None) => true,
    }
}

/// Part by part, cut at the first five colons that are not inside a variable.
fn arn_matches(scenario: &Scenario, pattern: &str, text: &str, new: bool) -> bool {
    if pattern == "*" {
        return true;
    }
    let mut parts = vec![String::new()];
    let mut inside = false;
    for c in pattern.chars() {
        inside = new && (c == '{' || (inside && c != '}'));
        if c == ':' && !inside && parts.len() < 6 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let texts: Vec<&str> = text.splitn(6, ':').collect();
    texts.len() == 6
        && texts[0] == "arn"
        && parts.iter().zip(&texts).all(|(part, text)| {
            let part = substituted(scenario, part, new, true);
            part.is_some_and(|part| wild(&part, &text.chars().collect::<Vec<_>>()))
        })
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Char(char),
    Many,
    One,
}

fn marks(text: &str) -> Vec<Mark> {
    let mark = |c| match c {
        '*' => Mark::Many,
        '?' => Mark::One,
        c => Mark::Char(c),
    };
    text.chars().map(mark).collect()
}

/// Inserts variables as text; `None` if one has no value.
fn substituted(scenario: &Scenario, text: &str, new: bool, wildcards: bool) -> Option<Vec<Mark>> {
    let plain = |text: &str| text.chars().map(Mark::Char).collect::<Vec<_>>();
    let own = |text: &str| if wildcards { marks(text) } else { plain(text) };
    let Some((before, rest)) = text.split_once("${").filter(|_| new) else { return Some(own(text)) };
    let (name, after) = rest.split_once('}')?;
    let (key, default) = match name.split_once(", ") {
        Some((key, default)) => (key, Some(default.trim_matches('\'').to_owned())),
        None => (name, None),
    };
    let value = match key {
        "*" | "?" | "$" => Some(key.to_owned()),
        key => values(scenario, key).first().cloned().or(default),
    };
    let mut all = own(before);
    all.extend(plain(&value?));
    all.extend(substituted(scenario, after, new, wildcards)?);
    Some(all)
}

fn wild(pattern: &[Mark], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Mark::Many, rest)) => (0..=text.len()).any(|skip| wild(rest, &text[skip..])),
        Some((Mark::One, rest)) => !text.is_empty() && wild(rest, &text[1..]),
        Some((Mark::Char(c), rest)) => text.first() == Some(c) && wild(rest, &text[1..]),
    }
}

/// What a request says of a key.
fn values(scenario: &Scenario, key: &str) -> Vec<String> {
    let lower = key.to_lowercase().replace("ecr:resourcetag", "aws:resourcetag");
    let [own, role, _] = names(&scenario.who);
    let caller = |value: Option<String>| value.into_iter().collect();
    match lower.as_str() {
        "aws:principaltype" => {
            return vec![
                match scenario.who {
                    Who::Anonymous => "Anonymous",
                    Who::Service(_) => "Service",
                    Who::Root(_) => "Account",
                    Who::User(..) => "User",
                    Who::Session(..) => "AssumedRole",
                }
                .to_owned(),
            ];
        }
        "aws:principalaccount" => return caller(account(&scenario.who).map(str::to_owned)),
        "aws:principalarn" => {
            let arn = if matches!(scenario.who, Who::Service(_)) { None } else { role.or(own) };
            return caller(arn);
        }
        "aws:username" => {
            let name = match scenario.who {
                Who::User(_, name) => name.rsplit('/').next().map(str::to_owned),
                _ => None,
            };
            return caller(name);
        }
        _ => {}
    }
    // Keys have no case. Of tags the one in the very case of the key goes first, then upper case does.
    let mut found: Vec<_> =
        scenario.context.iter().filter(|(name, _)| name.to_lowercase() == lower).collect();
    let Some((_, tag)) = key.split_once('/') else {
        return found.into_iter().map(|(_, value)| (*value).to_owned()).collect();
    };
    found.sort_by_key(|(name, _)| (!name.ends_with(&format!("/{tag}")), *name));
    found.into_iter().take(1).map(|(_, value)| (*value).to_owned()).collect()
}

fn conditions_match(scenario: &Scenario, statement: &Value, new: bool) -> bool {
    let Some(operators) = statement.get("Condition").and_then(Value::as_object) else { return true };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.into_iter().all(|(key, list)| {
            let asked = values(scenario, key);
            condition_matches(scenario, operator, &asked, &strings(list), new)
        })
    })
}

fn condition_matches(
    scenario: &Scenario,
    operator: &str,
    asked: &[String],
    list: &[String],
    new: bool,
) -> bool {
    if operator == "Null" {
        return list.iter().any(|word| (word == "true") == asked.is_empty());
    }
    let (quantifier, name) = operator.split_once(':').unwrap_or(("", operator));
    let if_exists = name.ends_with("IfExists");
    let name = name.trim_end_matches("IfExists");
    let negated = name.contains("Not");
    let name = name.replace("Not", "");
    let any = |value: &String| list.iter().any(|own| equal(scenario, &name, value, own, new));
    let holds = |value: &String| if negated { !any(value) } else { any(value) };
    match quantifier {
        "ForAllValues" => asked.iter().all(holds),
        "ForAnyValue" => asked.iter().any(holds),
        _ if asked.is_empty() => negated || if_exists,
        _ if negated => !asked.iter().any(any),
        _ => asked.iter().any(any),
    }
}

fn equal(scenario: &Scenario, name: &str, value: &str, own: &str, new: bool) -> bool {
    let text = |wildcards, fold: bool| {
        let fold = |c: char| if fold { c.to_ascii_lowercase() } else { c };
        let folded = |mark| match mark {
            Mark::Char(c) => Mark::Char(fold(c)),
            other => other,
        };
        substituted(scenario, own, new, wildcards).is_some_and(|marks| {
            let marks: Vec<Mark> = marks.into_iter().map(folded).collect();
            wild(&marks, &value.chars().map(fold).collect::<Vec<_>>())
        })
    };
    match name {
        "StringEquals" => text(false, false),
        "StringEqualsIgnoreCase" => text(false, true),
        "StringLike" => text(true, false),
        "ArnEquals" | "ArnLike" => arn_matches(scenario, own, value, new),
        "Bool" => value == own && (value == "true" || value == "false"),
        "IpAddress" => network_contains(own, value),
        _ => {
            let (value, own) = match name.strip_prefix("Numeric") {
                Some(_) => (value.parse().ok(), own.parse().ok()),
                None => (seconds(value), seconds(own)),
            };
            let (Some(value), Some(own)): (Option<f64>, Option<f64>) = (value, own) else { return false };
            match name.trim_start_matches("Numeric").trim_start_matches("Date") {
                "Equals" => value == own,
                "LessThan" => value < own,
                "LessThanEquals" => value <= own,
                "GreaterThan" => value > own,
                "GreaterThanEquals" => value >= own,
                other => panic!("{other} is not generated"),
            }
        }
    }
}

/// The dates that are generated, by hand.
fn seconds(text: &str) -> Option<f64> {
    match text {
        "2020-01-01" | "2020-01-01T01:00+01:00" | "2020-01-01T00:00:00Z" => Some(1_577_836_800.0),
        "2021-01-01T00:00:00Z" => Some(1_609_459_200.0),
        "2021-06-01T00:00:00Z" | "1622505600" => Some(1_622_505_600.0),
        // Small numbers are dates too: seconds since 1970.
        small => small.parse::<i64>().ok().map(|number| number as f64),
    }
}

fn network_contains(network: &str, address: &str) -> bool {
    let (base, length) = network.split_once('/').unwrap_or((network, "all"));
    let bits = |address: IpAddr| -> String {
        match address {
            IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => format!("{:032b}", u32::from(address)),
                None => format!("{:0128b}", u128::from(address)),
            },
        }
    };
    let (Ok(base), Ok(address)) = (base.parse().map(bits), address.parse().map(bits)) else { return false };
    let length = length.parse().unwrap_or(base.len());
    base.len() == address.len() && base[..length] == address[..length]
}
