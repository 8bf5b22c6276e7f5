//! The one verifier of passwords, and the throttle before it (LT-01): whoever proves who they are, does it here.
//!
//! The cheap refusals come first, each attempt takes its place before anything is hashed, and whatever becomes
//! of it, the place is settled.

use std::sync::Arc;
use std::time::Duration;

use super::audit::tell;
use super::model::attempts::{Account, Attempt, Outcome, Permit};
use super::model::audit::{Actor, AuditEvent, Event};
use super::model::user::User;
use super::{Auth, Fault, Origin, faults};
use crate::clock::Timestamp;
use crate::password::{HashError, Password, Verdict};
use crate::random::RandomError;
use crate::store::{Store, StoreError};
use crate::throttle::{Admission, Later, Throttle};

/// How long an attempt waits for others at the same account to be settled (LT-11).
const TURN_WAIT: Duration = Duration::from_secs(1);

/// Whose password is to be proved.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A user's.
    User(&'a User),
    /// That of a name, as canonical as it can be made, that nobody has.
    Stranger(&'a str),
}

/// The password is right.
#[must_use]
pub(super) enum Proof {
    /// And its hash a current one.
    Current,
    /// And its hash should be replaced.
    Outdated,
}

/// Why nothing was proved.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    /// The password is wrong, there is no such user, or the account is locked.
    #[error("the credentials are wrong")]
    Wrong,
    /// Nothing was looked at.
    #[error(transparent)]
    Later(#[from] Later),
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(CredentialError: StoreError, HashError, RandomError);

impl Auth {
    /// Whether `password` is that of `subject`. Without a user the same is done for nothing.
    pub(super) async fn prove(
        &self,
        subject: Subject<'_>,
        password: Arc<Password>,
        origin: &Origin,
    ) -> Result<Proof, CredentialError> {
        let hash = match subject {
            Subject::User(user) => Some(user.password_hash.clone()),
            Subject::Stranger(_) => None,
        };
        let hasher = &self.parts.hasher;
        let Some(throttle) = &self.parts.throttle else {
            return proof(alerted(subject, hasher.verify(password, hash).await)?);
        };
        let mut place = self.place(throttle, subject, origin).await?;
        // After too many failures the password counts no more: the same is done for nothing.
        let hash = hash.filter(|_| place.permit != Permit::Locked);
        let verdict = alerted(subject, hasher.verify(password, hash).await);
        let outcome = match &verdict {
            Ok(Verdict::Right | Verdict::RightButOutdated) => Outcome::Right,
            Ok(Verdict::Wrong | Verdict::Unusable) => Outcome::Wrong,
            Err(_) => Outcome::Undone,
        };
        let admission = place.admission.take();
        if let Some(admission) = admission.filter(|_| outcome == Outcome::Wrong) {
            admission.failed();
        }
        let on_lock = self.locked_event(subject, origin)?;
        if place.settle(outcome, self.now(), on_lock.clone()).await?
            && let Some(locked) = on_lock
        {
            tell(&locked);
        }
        proof(verdict?)
    }

    /// A place for one attempt, the cheap refusals first: those that stand are read without waiting for the
    /// store's writer.
    async fn place(
        &self,
        throttle: &Arc<Throttle>,
        subject: Subject<'_>,
        origin: &Origin,
    ) -> Result<Place, CredentialError> {
        let account = match subject {
            Subject::User(user) => Account::User(user.id),
            Subject::Stranger(name) => throttle.stranger(name),
        };
        let (source, limits) = (origin.source(), *throttle.limits());
        let attempts = self.store().attempts(account).await?;
        let now = self.now();
        if let Some(until) = attempts.blocked_until(source, now) {
            return Err(later(until, now).into());
        }
        let is_known = attempts.knows(source, &limits, now);
        throttle.may_admit(source, is_known)?;
        let attempt = Attempt { account, source, limits };
        let reserved = match self.reserve(throttle, attempt).await? {
            Reserved::Turn => self.wait_for_turn(throttle, attempt).await?,
            reserved => reserved,
        };
        match reserved {
            Reserved::Place(mut place) => {
                // Counted once it is its turn: those who wait for others hold nobody back.
                place.admission = Some(throttle.admit(source, is_known)?);
                Ok(place)
            }
            Reserved::Turn => Err(Later(TURN_WAIT).into()),
            Reserved::Wait(until) => Err(later(until, self.now()).into()),
        }
    }

    /// What the attempt may do once it is its turn; still [`Reserved::Turn`] if that takes too long.
    async fn wait_for_turn(
        &self,
        throttle: &Arc<Throttle>,
        attempt: Attempt,
    ) -> Result<Reserved, StoreError> {
        let turn = throttle.turn(attempt.account);
        let deadline = tokio::time::Instant::now() + TURN_WAIT;
        loop {
            let reserved = self.reserve(throttle, attempt).await;
            if !matches!(reserved, Ok(Reserved::Turn)) {
                // The next one may have come to its turn by the same event.
                throttle.next_turn(attempt.account);
                return reserved;
            }
            if tokio::time::timeout_at(deadline, turn.wait()).await.is_err() {
                return reserved;
            }
        }
    }

    /// Asks for a place, in a task that goes on when the client goes away: a place that nobody takes any more is
    /// given back.
    async fn reserve(
        &self,
        throttle: &Arc<Throttle>,
        attempt: Attempt,
    ) -> Result<Reserved, StoreError> {
        let (store, throttle) = (Arc::clone(&self.parts.store), Arc::clone(throttle));
        let now = self.now();
        let reserving = tokio::spawn(async move {
            Ok(match store.throttle_reserve(attempt, now).await? {
                Permit::Turn => Reserved::Turn,
                Permit::Wait(until) => Reserved::Wait(until),
                permit @ (Permit::Go | Permit::Locked) => {
                    let (is_settled, admission) = (false, None);
                    Reserved::Place(Place {
                        store,
                        throttle,
                        attempt,
                        permit,
                        taken_at: now,
                        is_settled,
                        admission,
                    })
                }
            })
        });
        reserving.await.unwrap_or(Err(StoreError::Unavailable))
    }

    /// What is noted if this attempt locks an account that somebody has.
    fn locked_event(
        &self,
        subject: Subject<'_>,
        origin: &Origin,
    ) -> Result<Option<AuditEvent>, RandomError> {
        let Subject::User(user) = subject else { return Ok(None) };
        self.event(Event::AccountLocked, Actor::Anonymous, (user.id, None), origin).map(Some)
    }
}

/// What the store says to an attempt.
enum Reserved {
    /// It has its place.
    Place(Place),
    /// Others come first.
    Turn,
    /// Not before then.
    Wait(Timestamp),
}

/// An attempt that has its place. One whose client has gone was not seen to fail, and gives it back.
struct Place {
    store: Arc<dyn Store>,
    throttle: Arc<Throttle>,
    attempt: Attempt,
    permit: Permit,
    taken_at: Timestamp,
    is_settled: bool,
    /// Until it is known whether it counts.
    admission: Option<Admission>,
}

impl Place {
    /// Gives the place back; whether the account is locked with that.
    async fn settle(
        mut self,
        outcome: Outcome,
        now: Timestamp,
        on_lock: Option<AuditEvent>,
    ) -> Result<bool, StoreError> {
        // From here on the store has it, whoever waits for its answer.
        self.is_settled = true;
        self.store.throttle_settle(self.attempt, outcome, now, on_lock).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_settled {
            return self.throttle.next_turn(self.attempt.account);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (store, throttle) = (Arc::clone(&self.store), Arc::clone(&self.throttle));
        let (attempt, taken_at) = (self.attempt, self.taken_at);
        // Nothing was learned of the password, but a hash may have been computed, and is not to be had for nothing.
        self.admission.take().into_iter().for_each(Admission::failed);
        runtime.spawn(async move {
            // What cannot be given back counts as failed in a while.
            store.throttle_settle(attempt, Outcome::Undone, taken_at, None).await.ok();
            throttle.next_turn(attempt.account);
        });
    }
}

/// Tells the operator of a user whom nothing but a new password lets in again.
fn alerted(
    subject: Subject<'_>,
    verdict: Result<Verdict, HashError>,
) -> Result<Verdict, HashError> {
    if let (Subject::User(user), Ok(Verdict::Unusable)) = (subject, &verdict) {
        tracing::warn!(
            event = "password_hash_unusable",
            user = %user.id,
            "a stored password hash is of no kind and size that may be verified"
        );
    }
    verdict
}

const fn proof(verdict: Verdict) -> Result<Proof, CredentialError> {
    match verdict {
        Verdict::Right => Ok(Proof::Current),
        Verdict::RightButOutdated => Ok(Proof::Outdated),
        Verdict::Wrong | Verdict::Unusable => Err(CredentialError::Wrong),
    }
}

const fn later(until: Timestamp, now: Timestamp) -> Later {
    Later(until.since(now))
}
