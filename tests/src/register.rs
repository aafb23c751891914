//! Whether a recorded history of tags is linearizable: each tag is a register of its own that can be put,
//! put on a condition, deleted and read.
//!
//! The search is Lowe's just-in-time linearization ("Testing for linearizability", 2017), which grew out of
//! Wing and Gong's: calls and returns are gone through in order of time, with the set of all states that the
//! register may be in and the open operations that would have taken effect for that. An operation is given
//! its place at the latest when it returns; a history is wrong when no state is left. An operation whose
//! outcome is unknown never returns: it may take effect at any later time, or never.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

/// Stands for one manifest. A value is best put once only: then a read tells which put it saw.
pub type Value = u64;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The value now.
    Read,
    /// Whatever there was.
    Put(Value),
    /// Only if there is `expected` now (`If-Match`).
    PutIfMatch {
        /// The present value.
        expected: Value,
        /// The next one.
        new: Value,
    },
    /// Only if there is nothing now (`If-None-Match: *`).
    PutIfAbsent(Value),
    /// Whatever there was.
    Delete,
}

/// What the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Read: this, or nothing.
    Found(Option<Value>),
    /// Put or deleted.
    Done,
    /// There was nothing to delete.
    Absent,
    /// The condition did not hold, since there was this, or nothing.
    Refused(Option<Value>),
    /// No answer, or one that leaves it open.
    Unknown,
}

/// One call and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which register.
    pub key: usize,
    /// Who was asked.
    pub node: usize,
    /// What for.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
    /// When the client began, since the beginning of the history.
    pub began: Duration,
    /// When the client had its answer.
    pub ended: Duration,
}

/// A history that no register can have.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The operation that has no place.
    pub operation: Operation,
    /// What the register could have held just before its answer.
    pub possible: BTreeSet<Option<Value>>,
    /// The operations of the same register around it, in order of their beginning.
    pub around: Vec<Operation>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not linearizable: {:?}", self.operation)?;
        writeln!(f, "the register could only hold {:?}", self.possible)?;
        self.around.iter().try_for_each(|operation| writeln!(f, "  {operation:?}"))
    }
}

/// Checks each register of a history; it began with nothing in any.
///
/// # Errors
/// The first operation for which there is no place.
pub fn check(history: &[Operation]) -> Result<(), Box<Violation>> {
    let mut registers: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
    for operation in history {
        registers.entry(operation.key).or_default().push(*operation);
    }
    registers.into_values().try_for_each(|operations| check_register(&operations))
}

type State = Option<Value>;
/// Numbers of operations.
type Set = BTreeSet<usize>;

/// One way to explain what was seen so far: the state, and the open operations that took effect.
#[derive(Clone, Debug)]
struct Way {
    state: State,
    /// Those that will return.
    placed: Set,
    /// Those with an unknown outcome.
    spent: Set,
}

/// Ways, without those that another one makes superfluous: with the same state and the same operations
/// placed, whoever spent fewer of the unknown ones can do all that the other can.
#[derive(Debug, Default)]
struct Ways(HashMap<(State, Set), Vec<Set>>);

impl Ways {
    /// Whether it brings anything new.
    fn add(&mut self, way: &Way) -> bool {
        let known = self.0.entry((way.state, way.placed.clone())).or_default();
        if known.iter().any(|spent| spent.is_subset(&way.spent)) {
            return false;
        }
        known.retain(|spent| !way.spent.is_subset(spent));
        known.push(way.spent.clone());
        true
    }

    fn all(self) -> impl Iterator<Item = Way> {
        let ways = |((state, placed), spent): ((State, Set), Vec<Set>)| {
            spent.into_iter().map(move |spent| Way { state, placed: placed.clone(), spent })
        };
        self.0.into_iter().flat_map(ways)
    }
}

/// Stands for every value that nobody saw: which of them it was makes no difference.
const UNSEEN: Value = Value::MAX;

/// Without the differences between values that only unknown operations wrote and nobody saw.
fn without_unseen(operations: &[Operation]) -> Vec<Operation> {
    let mut seen = BTreeSet::new();
    for operation in operations {
        match (operation.call, operation.outcome) {
            (_, Outcome::Found(Some(value)) | Outcome::Refused(Some(value))) => seen.insert(value),
            (Call::PutIfMatch { expected, .. }, _) => seen.insert(expected),
            _ => false,
        };
    }
    let unseen = |value: Value| if seen.contains(&value) { value } else { UNSEEN };
    let simple = |operation: &Operation| {
        let call = match operation.call {
            call if operation.outcome != Outcome::Unknown => call,
            Call::Put(value) => Call::Put(unseen(value)),
            Call::PutIfAbsent(value) => Call::PutIfAbsent(unseen(value)),
            Call::PutIfMatch { expected, new } => Call::PutIfMatch { expected, new: unseen(new) },
            call => call,
        };
        Operation { call, ..*operation }
    };
    operations.iter().map(simple).collect()
}

fn check_register(whole: &[Operation]) -> Result<(), Box<Violation>> {
    let operations = &without_unseen(whole)[..];
    // Calls come before returns of the same moment: that only allows more.
    let mut events: Vec<(Duration, bool, usize)> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        let is_unknown = operation.outcome == Outcome::Unknown;
        if is_unknown && operation.call == Call::Read {
            continue;
        }
        events.push((operation.began, false, number));
        if !is_unknown {
            events.push((operation.ended, true, number));
        }
    }
    events.sort_unstable();
    let mut open = Set::new();
    let mut ways = vec![Way { state: None, placed: Set::new(), spent: Set::new() }];
    for (_, is_return, number) in events {
        if !is_return {
            open.insert(number);
            continue;
        }
        let next = place(operations, &open, &ways, number);
        if next.is_empty() {
            let operation = whole[number];
            let possible = ways.iter().map(|way| way.state).collect();
            return Err(Box::new(Violation { operation, possible, around: around(whole, &operation) }));
        }
        ways = next;
        open.remove(&number);
        forget_spent(&mut ways, &mut open);
    }
    Ok(())
}

/// What is spent in every way is no longer a choice.
fn forget_spent(ways: &mut [Way], open: &mut Set) {
    let Some((first, rest)) = ways.split_first() else { return };
    let mut spent = first.spent.clone();
    spent.retain(|number| rest.iter().all(|way| way.spent.contains(number)));
    open.retain(|number| !spent.contains(number));
    ways.iter_mut().for_each(|way| way.spent.retain(|number| !spent.contains(number)));
}

/// All ways in which `target` has taken effect; it is forgotten in them, since it is over.
fn place(operations: &[Operation], open: &Set, ways: &[Way], target: usize) -> Vec<Way> {
    let (mut seen, mut reached) = (Ways::default(), Ways::default());
    let mut waiting: Vec<Way> = ways.to_vec();
    while let Some(mut way) = waiting.pop() {
        if way.placed.remove(&target) {
            reached.add(&way);
            continue;
        }
        if !seen.add(&way) {
            continue;
        }
        // Of unknown operations that ask for the same, one is as good as another.
        let mut tried: Vec<Call> = Vec::new();
        for number in open.iter().filter(|number| !way.placed.contains(number) && !way.spent.contains(number))
        {
            let operation = &operations[*number];
            if operation.outcome == Outcome::Unknown {
                if tried.contains(&operation.call) {
                    continue;
                }
                tried.push(operation.call);
            }
            let Some(state) = apply(way.state, operation.call, operation.outcome) else { continue };
            let mut next = Way { state, ..way.clone() };
            let used = if operation.outcome == Outcome::Unknown { &mut next.spent } else { &mut next.placed };
            used.insert(*number);
            waiting.push(next);
        }
    }
    reached.all().collect()
}

/// The state afterwards; `None`: not with this outcome in this state.
fn apply(state: State, call: Call, outcome: Outcome) -> Option<State> {
    let (holds, after) = match call {
        Call::Read => (true, state),
        Call::Put(value) => (true, Some(value)),
        Call::PutIfMatch { expected, new } => (state == Some(expected), Some(new)),
        Call::PutIfAbsent(value) => (state.is_none(), Some(value)),
        Call::Delete => (state.is_some(), None),
    };
    let agrees = match outcome {
        Outcome::Found(found) => call == Call::Read && found == state,
        // An unknown one without effect need not have a place at all.
        Outcome::Done | Outcome::Unknown => call != Call::Read && holds,
        Outcome::Absent => call == Call::Delete && !holds,
        Outcome::Refused(found) => !holds && found == state,
    };
    let changes = matches!(outcome, Outcome::Done | Outcome::Unknown);
    agrees.then_some(if changes { after } else { state })
}

/// What overlaps with `operation` or ends a little before it.
fn around(operations: &[Operation], operation: &Operation) -> Vec<Operation> {
    /// Operations shown, those that ended last.
    const SHOWN: usize = 14;
    let mut before: Vec<Operation> = operations.to_vec();
    before.retain(|other| other.began <= operation.ended);
    before.sort_by_key(|other| if other.outcome == Outcome::Unknown { other.began } else { other.ended });
    let mut shown = before.split_off(before.len().saturating_sub(SHOWN));
    shown.sort_by_key(|other| other.began);
    shown
}

#[cfg(test)]
#[path = "register_test.rs"]
mod tests;
