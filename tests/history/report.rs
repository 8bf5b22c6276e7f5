//! The check of a whole history, and what is said of one that cannot be explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use crate::linear::{self, Span};
use crate::model::{Contract, Name};
use crate::record::{Answer, Call, History, Id, Operation};

/// What was recorded, in a line.
pub fn summary(history: &History) -> String {
    let operations = || history.names.values().flatten();
    let mut kinds = BTreeMap::new();
    for operation in operations() {
        let kind = format!("{:?}", operation.call);
        let kind = kind.split(['(', ' ']).next().unwrap_or_default().to_owned();
        let refused =
            operation.answer.is_none_or(|a| matches!(a, Answer::Refused | Answer::Missing));
        let counts: &mut (usize, usize) = kinds.entry(kind).or_default();
        counts.0 += 1;
        counts.1 += usize::from(refused);
    }
    let unanswered = operations().filter(|operation| operation.answer.is_none()).count();
    let mut text = format!(
        "{} names, {} kills, {unanswered} unanswered;",
        history.names.len(),
        history.kills.len()
    );
    for (kind, (all, refused)) in kinds {
        write!(text, " {kind} {all} ({refused} not done)").unwrap();
    }
    text
}

/// The shortest history that nothing explains, readable; nothing if all are explained.
///
/// What is independent is looked at for itself, so that the search stays small: a name with the users who have
/// had it, and each session together with those, since disabling and deletion reach all sessions of a user.
pub fn broken(history: &History, grace: Duration) -> Option<String> {
    let mut shortest: Option<Vec<Operation>> = None;
    for operations in history.names.values() {
        let sessions: BTreeSet<_> = operations.iter().filter_map(|op| op.call.session()).collect();
        for session in std::iter::once(None).chain(sessions.into_iter().map(Some)) {
            let part = part(operations, session);
            let Err(at) = check(&part, session, &history.kills, grace) else { continue };
            let end = part[at].returned;
            let unexplained = part[at];
            let is_told = |op: &Operation| op.invoked <= end && !opens_another(op.answer, session);
            let told = part.into_iter().filter(is_told).chain([unexplained]);
            let told: Vec<_> = told.collect();
            if shortest.as_ref().is_none_or(|shortest| told.len() < shortest.len()) {
                shortest = Some(told);
            }
        }
    }
    let mut lines: Vec<_> =
        history.kills.iter().map(|at| (*at, format!("{:>27}  killed", micros(*at)))).collect();
    let told = shortest?;
    let end = told.iter().filter(|op| op.answer.is_some()).map(|op| op.returned).max();
    lines.extend(told.iter().map(|operation| (operation.returned, line(operation))));
    lines.retain(|(at, _)| Some(*at) <= end);
    lines.sort();
    lines.dedup();
    // Of the kills between two operations, the last.
    lines.reverse();
    lines.dedup_by_key(
        |(_, line)| if line.ends_with("killed") { String::new() } else { line.clone() },
    );
    lines.reverse();
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    Some(format!("nothing explains one of the last of these answers:\n{}", lines.join("\n")))
}

/// The operations on the name and its users, and those on `session`.
fn part(operations: &[Operation], session: Option<Id>) -> Vec<Operation> {
    let is_in = |operation: &&Operation| {
        let about = operation.call.session();
        about.is_none() || about == session
    };
    operations.iter().filter(is_in).copied().collect()
}

/// Whether an answer opens another session than the one that is looked at.
fn opens_another(answer: Option<Answer>, looked_at: Option<Id>) -> bool {
    let Some(Answer::Pair { session, .. }) = answer else { return false };
    looked_at.is_some_and(|looked_at| session != looked_at)
}

/// Looks for an order of operations on a name and on `session`.
pub fn check(
    operations: &[Operation],
    session: Option<Id>,
    kills: &[u64],
    grace: Duration,
) -> Result<(), usize> {
    let spans: Vec<_> = operations
        .iter()
        .map(|operation| Span {
            invoked: operation.invoked,
            returned: operation.returned,
            is_answered: operation.answer.is_some(),
        })
        .collect();
    let contract = Contract { operations, session, grace };
    linear::check(&contract, Name::default(), &spans, kills)
}

fn line(operation: &Operation) -> String {
    let Operation { client, call, answer, invoked, returned } = operation;
    let answer = match (call, answer) {
        (_, None) => "no answer".to_owned(),
        (Call::Listed(_), Some(Answer::Refused)) => "not there".to_owned(),
        (_, Some(answer)) => answer.to_string(),
    };
    format!("{:>12} {:>12}  client {client}: {call}: {answer}", micros(*invoked), micros(*returned))
}

/// Microseconds as seconds.
fn micros(at: u64) -> String {
    format!("{}.{:06}", at / 1_000_000, at % 1_000_000)
}
