//! The search for one order that explains all answers: linearizability after Herlihy and Wing, checked as Lowe's
//! "just in time" does, with what was tried remembered. Knows no contract; a [`Model`] brings it.
//!
//! Three things are more than the textbook has, and the reason why no crate serves here. An operation may take
//! several steps (a bearer is let in, then the thing is done). What a step does may leave a choice, where the
//! answer lies too close to a deadline to say. And a kill: what was not answered by then had its effect before
//! it or never has one, and a read may have seen an effect that was not durable yet and that the kill took back;
//! from its answer on, nothing takes a change back, nor any that was made before it.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

/// What the operations do when they come one after another.
pub trait Model {
    /// All that decides what an operation may answer.
    type State: Clone + Eq + Hash;

    /// What step number `step` of operation `index` may do in `state`, given what was answered; nothing if
    /// that answer is impossible here.
    fn step(&self, state: &Self::State, index: usize, step: u8) -> Vec<Step<Self::State>>;
}

/// One thing that a step may do.
#[derive(Clone, Debug)]
pub struct Step<S> {
    /// The state after it.
    pub state: S,
    /// Whether the operation is done with it.
    pub is_last: bool,
    /// What it does.
    pub kind: Kind,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only looks, and would in any state.
    Look,
    /// It finds done what it would have done, and can never do it again.
    Repeat,
    /// It is a change, though it may leave a state as it is.
    Change,
}

/// When an operation ran.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it was asked for.
    pub invoked: u64,
    /// When it was answered.
    pub returned: u64,
    /// Whether it was.
    pub is_answered: bool,
}

/// What the search has got to in one of the orders it follows.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Course<S> {
    state: S,
    /// How far each operation is that is under way.
    begun: BTreeMap<usize, Progress>,
    /// The changes that no answer has made last, each with the state before it.
    unsettled: Vec<(usize, S)>,
}

/// How far an operation is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Progress {
    steps: u8,
    is_done: bool,
    /// The last change that its answer makes last.
    settles: Option<usize>,
}

/// What happens in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Invoked(usize),
    Returned(usize),
    Killed,
}

/// Looks for an order of the operations that `model` allows; otherwise the first operation whose answer nothing
/// explains.
pub fn check<M: Model>(
    model: &M,
    initial: M::State,
    spans: &[Span],
    kills: &[u64],
) -> Result<(), usize> {
    let mut moments: Vec<_> = kills.iter().map(|&at| (at, Moment::Killed)).collect();
    for (index, span) in spans.iter().enumerate() {
        moments.push((span.invoked, Moment::Invoked(index)));
        if span.is_answered {
            moments.push((span.returned, Moment::Returned(index)));
        }
    }
    // At the same instant a request comes before an answer, which only ever allows more.
    moments.sort_unstable();
    let first = Course { state: initial, begun: BTreeMap::new(), unsettled: Vec::new() };
    let mut courses = HashSet::from([first]);
    let mut pending = Vec::new();
    for (_, moment) in moments {
        match moment {
            Moment::Invoked(index) => pending.push(index),
            Moment::Returned(index) => {
                courses = follow(model, courses, &pending, Some(index));
                if courses.is_empty() {
                    return Err(index);
                }
                pending.retain(|&other| other != index);
            }
            Moment::Killed => {
                courses = killed(follow(model, courses, &pending, None));
                pending.clear();
            }
        }
    }
    Ok(())
}

/// The courses in which `index` is done by now, by whatever else has to come before it; without it, all that
/// the pending operations can lead to.
fn follow<M: Model>(
    model: &M,
    courses: HashSet<Course<M::State>>,
    pending: &[usize],
    index: Option<usize>,
) -> HashSet<Course<M::State>> {
    let mut seen = HashSet::new();
    let mut open: Vec<_> = courses.into_iter().map(|course| look(model, course, pending)).collect();
    let mut done = HashSet::new();
    while let Some(course) = open.pop() {
        if let Some(index) = index.filter(|index| course.has_done(*index)) {
            done.insert(settled(course, index));
            continue;
        }
        for &other in pending {
            for next in steps(model, &course, other) {
                let next = look(model, next, pending);
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        if index.is_none() {
            done.insert(course);
        }
    }
    done
}

/// The courses that `course` can take by the next step of `index`.
fn steps<M: Model>(model: &M, course: &Course<M::State>, index: usize) -> Vec<Course<M::State>> {
    if course.has_done(index) {
        return Vec::new();
    }
    let next = model.step(&course.state, index, course.steps_of(index));
    next.into_iter().map(|step| course.clone().take(index, step)).collect()
}

/// Takes all steps that can never change anything any more: to take them at once closes no other way.
fn look<M: Model>(model: &M, mut course: Course<M::State>, pending: &[usize]) -> Course<M::State> {
    for &index in pending {
        while !course.has_done(index) {
            let mut next = model.step(&course.state, index, course.steps_of(index));
            match next.pop() {
                Some(step) if next.is_empty() && step.kind != Kind::Change => {
                    course = course.take(index, step);
                }
                _ => break,
            }
        }
    }
    course
}

impl<S: Clone + Eq> Course<S> {
    fn has_done(&self, index: usize) -> bool {
        self.begun.get(&index).is_some_and(|progress| progress.is_done)
    }

    fn steps_of(&self, index: usize) -> u8 {
        self.begun.get(&index).map_or(0, |progress| progress.steps)
    }

    fn take(mut self, index: usize, step: Step<S>) -> Self {
        if step.state != self.state {
            let before = std::mem::replace(&mut self.state, step.state);
            self.unsettled.push((index, before));
        }
        let last = self.unsettled.last().map(|(change, _)| *change);
        let progress = self.begun.entry(index).or_default();
        progress.steps += 1;
        progress.is_done = step.is_last;
        // An answer to what is more than a look makes it, and all changes before it, last.
        if step.kind != Kind::Look {
            progress.settles = last;
        }
        self
    }
}

/// `index` was answered: its change, and all before it, stay.
fn settled<S>(mut course: Course<S>, index: usize) -> Course<S> {
    let settles = course.begun.remove(&index).and_then(|progress| progress.settles);
    let at = course.unsettled.iter().position(|(change, _)| settles == Some(*change));
    course.unsettled.drain(..at.map_or(0, |at| at + 1));
    course
}

/// What may be left of each course by a kill: all its changes, or only those before one that nobody was promised.
fn killed<S: Clone + Eq + Hash>(courses: HashSet<Course<S>>) -> HashSet<Course<S>> {
    let rest = |state| Course { state, begun: BTreeMap::new(), unsettled: Vec::new() };
    let all = |course: Course<S>| {
        let earlier = course.unsettled.into_iter().map(|(_, before)| before);
        earlier.chain([course.state]).map(rest).collect::<Vec<_>>()
    };
    courses.into_iter().flat_map(all).collect()
}
