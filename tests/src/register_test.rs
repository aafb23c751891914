//! The checker is checked: by hand, and against one that tries every order.

use super::*;
use crate::journal::random;

/// From `began` to `ended`, milliseconds.
fn operation(began: u64, ended: u64, call: Call, outcome: Outcome) -> Operation {
    let at = Duration::from_millis;
    Operation { key: 0, node: 0, call, outcome, began: at(began), ended: at(ended) }
}

fn put(began: u64, ended: u64, value: Value) -> Operation {
    operation(began, ended, Call::Put(value), Outcome::Done)
}

fn maybe_put(began: u64, value: Value) -> Operation {
    operation(began, began + 1, Call::Put(value), Outcome::Unknown)
}

fn read(began: u64, ended: u64, found: Option<Value>) -> Operation {
    operation(began, ended, Call::Read, Outcome::Found(found))
}

fn swap(began: u64, ended: u64, expected: Value, new: Value, outcome: Outcome) -> Operation {
    operation(began, ended, Call::PutIfMatch { expected, new }, outcome)
}

fn delete(began: u64, ended: u64, outcome: Outcome) -> Operation {
    operation(began, ended, Call::Delete, outcome)
}

#[track_caller]
fn is_fine(history: &[Operation]) {
    if let Err(violation) = check(history) {
        panic!("{violation}");
    }
}

#[track_caller]
fn is_caught(history: &[Operation]) {
    assert!(check(history).is_err(), "not caught: {history:?}");
}

#[test]
fn one_after_the_other_is_fine() {
    is_fine(&[
        read(0, 1, None),
        put(2, 3, 1),
        read(4, 5, Some(1)),
        swap(6, 7, 1, 2, Outcome::Done),
        swap(8, 9, 1, 3, Outcome::Refused(Some(2))),
        operation(10, 11, Call::PutIfAbsent(4), Outcome::Refused(Some(2))),
        delete(12, 13, Outcome::Done),
        delete(14, 15, Outcome::Absent),
        swap(16, 17, 2, 5, Outcome::Refused(None)),
        operation(18, 19, Call::PutIfAbsent(6), Outcome::Done),
        read(20, 21, Some(6)),
    ]);
}

#[test]
fn a_stale_read_is_caught() {
    is_caught(&[put(0, 1, 1), put(2, 3, 2), read(4, 5, Some(1))]);
    is_caught(&[put(0, 1, 1), delete(2, 3, Outcome::Done), read(4, 5, Some(1))]);
    // Of two reads one after the other, the second may not see less.
    is_caught(&[put(0, 1, 1), put(2, 20, 2), read(4, 5, Some(2)), read(6, 7, Some(1))]);
    is_fine(&[put(0, 1, 1), put(2, 20, 2), read(4, 5, Some(1)), read(6, 7, Some(2))]);
}

#[test]
fn a_lost_update_is_caught() {
    is_caught(&[put(0, 1, 1), swap(2, 9, 1, 2, Outcome::Done), swap(3, 8, 1, 3, Outcome::Done)]);
    is_fine(&[put(0, 1, 1), swap(2, 9, 1, 2, Outcome::Done), swap(3, 8, 2, 3, Outcome::Done)]);
    // Acknowledged, then gone.
    is_caught(&[put(0, 1, 1), put(2, 3, 2), read(4, 5, None)]);
}

#[test]
fn what_is_unknown_may_happen_late_or_never_but_once() {
    is_fine(&[put(0, 1, 1), maybe_put(2, 2), read(10, 11, Some(1)), read(20, 21, Some(2))]);
    is_fine(&[put(0, 1, 1), maybe_put(2, 2), put(5, 6, 3), read(20, 21, Some(2))]);
    is_fine(&[put(0, 1, 1), maybe_put(2, 2), read(20, 21, Some(1))]);
    is_caught(&[put(0, 1, 1), maybe_put(2, 2), read(4, 5, Some(2)), read(6, 7, Some(1))]);
    is_caught(&[maybe_put(0, 2), read(4, 5, Some(2)), put(6, 7, 3), read(8, 9, Some(2))]);
    // Not before it was asked for.
    is_caught(&[read(0, 1, Some(2)), maybe_put(5, 2)]);
    // Never seen, but there must have been something to delete.
    is_fine(&[maybe_put(0, 2), delete(4, 5, Outcome::Done)]);
    is_caught(&[delete(4, 5, Outcome::Done), maybe_put(6, 2)]);
    let maybe_swap = swap(2, 3, 1, 2, Outcome::Unknown);
    is_fine(&[put(0, 1, 1), maybe_swap, read(4, 5, Some(2))]);
    is_caught(&[put(0, 1, 7), maybe_swap, read(4, 5, Some(2))]);
    is_fine(&[put(0, 1, 1), delete(2, 3, Outcome::Unknown), read(4, 5, Some(1)), read(6, 7, None)]);
}

#[test]
fn a_violation_names_the_operation_and_what_could_have_been() {
    let stale = read(4, 5, Some(1));
    let violation = check(&[put(0, 1, 1), put(2, 3, 2), stale]).expect_err("stale");
    assert_eq!(violation.operation, stale);
    assert_eq!(violation.possible, BTreeSet::from([Some(2)]));
    assert!(violation.to_string().contains("not linearizable"));
}

#[test]
fn keys_do_not_touch_each_other() {
    let other = Operation { key: 1, ..put(2, 3, 2) };
    is_fine(&[put(0, 1, 1), other, read(4, 5, Some(1)), Operation { key: 1, ..read(4, 5, Some(2)) }]);
}

/// Tries every order of every choice of the unknown ones.
fn naive(left: &[Operation], state: State) -> bool {
    if left.iter().all(|operation| operation.outcome == Outcome::Unknown) {
        return true;
    }
    let is_known = |operation: &&Operation| operation.outcome != Outcome::Unknown;
    let first_end = left.iter().filter(is_known).map(|operation| operation.ended).min();
    (0..left.len()).any(|at| {
        // Whatever returned before this one was called goes first.
        let goes = first_end.is_none_or(|end| left[at].began <= end);
        let mut rest = left.to_vec();
        let one = rest.remove(at);
        goes && apply(state, one.call, one.outcome).is_some_and(|state| naive(&rest, state))
    })
}

#[test]
fn it_agrees_with_trying_every_order() {
    let value = || random() % 3;
    let maybe = || (!random().is_multiple_of(4)).then(value);
    let (mut fine, mut wrong) = (0, 0);
    for _ in 0..20_000 {
        let history: Vec<Operation> = (0..1 + random() % 6)
            .map(|_| {
                let call = match random() % 6 {
                    0 | 1 => Call::Read,
                    2 => Call::Put(value()),
                    3 => Call::PutIfMatch { expected: value(), new: value() },
                    4 => Call::PutIfAbsent(value()),
                    _ => Call::Delete,
                };
                let outcome = match (call, random() % 4) {
                    (Call::Read, _) => Outcome::Found(maybe()),
                    (_, 0) => Outcome::Unknown,
                    (Call::Delete, 1) => Outcome::Absent,
                    (Call::PutIfMatch { .. } | Call::PutIfAbsent(_), 1) => Outcome::Refused(maybe()),
                    _ => Outcome::Done,
                };
                let began = random() % 12;
                operation(began, began + 1 + random() % 6, call, outcome)
            })
            .collect();
        let expected = naive(&history, None);
        assert_eq!(check(&history).is_ok(), expected, "{history:?}");
        if expected { fine += 1 } else { wrong += 1 }
    }
    assert!(fine > 1000 && wrong > 1000, "{fine} fine and {wrong} wrong ones test little");
}

#[test]
fn long_histories_with_many_unknown_ones_are_checked_soon() {
    // A register with four clients, of which each operation takes effect somewhere between call and return.
    let mut state = None;
    let mut history = Vec::new();
    for step in 0..4_000 {
        let at = step * 10;
        let (call, outcome) = match random() % 8 {
            0..4 => (Call::Read, Outcome::Found(state)),
            4 => (Call::Delete, if state.is_some() { Outcome::Done } else { Outcome::Absent }),
            5 => (Call::Put(step), Outcome::Unknown),
            _ => (Call::Put(step), Outcome::Done),
        };
        let happens = outcome != Outcome::Unknown || random().is_multiple_of(2);
        if let (true, Some(after)) = (happens, apply(state, call, outcome)) {
            state = after;
        }
        history.push(operation(at.saturating_sub(random() % 30), at + random() % 30, call, outcome));
    }
    is_fine(&history);
    let last = history.len() as u64 * 10;
    history.push(put(last + 100, last + 101, 1_000_000));
    history.push(read(last + 102, last + 103, Some(1_000_001)));
    is_caught(&history);
}
