//! A session and its pure transitions: which tokens of it live, and what a refresh does to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{Nonce, SessionId, UserId};
use super::scope::Scopes;
use crate::clock::Timestamp;

/// The longest user agent kept, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 128;

/// One generation of a session's two tokens: all that is needed to sign the very same pair again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts the refreshes since the login, from 0.
    pub number: u64,
    /// The access token's nonce.
    pub access: Nonce,
    /// The refresh token's nonce.
    pub refresh: Nonce,
    /// `iat` and `nbf` of both, a whole second.
    pub issued_at: Timestamp,
    /// `exp` of the access token, a whole second.
    pub access_expires_at: Timestamp,
    /// `exp` of the refresh token and the session's idle deadline, a whole second.
    pub refresh_expires_at: Timestamp,
    /// What the access token was granted: the session's scopes or fewer (RFC 6749 §6).
    pub scope: Scopes,
}

/// The generation that the current one replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its access token's nonce.
    pub access: Nonce,
    /// Its refresh token's nonce.
    pub refresh: Nonce,
    /// Until when its access token is good and its refresh token is answered with the current pair.
    pub grace_ends_at: Timestamp,
}

/// One login, from its first token pair to its end. A session that has ended has no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose session it is.
    pub user: UserId,
    /// The user's epoch when the credentials were verified.
    pub epoch: u64,
    /// The grant: what the login was given.
    pub scope: Scopes,
    /// When the login happened.
    pub created_at: Timestamp,
    /// Moves at refresh, and otherwise at most once a minute.
    pub last_used_at: Timestamp,
    /// The absolute deadline, never moved.
    pub ends_at: Timestamp,
    /// Where the login came from.
    pub ip: Option<String>,
    /// What the login came from, at most [`USER_AGENT_BYTES_MAX`] bytes.
    pub user_agent: Option<String>,
    /// The pair that lives.
    pub current: Generation,
    /// The pair that was replaced last.
    pub replaced: Option<Replaced>,
}

/// What presenting a refresh token does to its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rotation {
    /// It was the current one: the session has moved to the next generation.
    Rotated(Session),
    /// It was the one just replaced, within the grace: the current pair is to be given again.
    Replayed(Session),
    /// It was used up before: the session must end (RFC 9700 §4.14.2).
    Reused,
}

impl Session {
    /// When the session is over if nothing more happens: the earlier of the idle and absolute deadline.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.current.refresh_expires_at.min(self.ends_at)
    }

    /// Whether a token with `nonce` lives at `now`: of the current generation, or of the one just
    /// replaced while its grace lasts. The token's own `exp` is the verifier's to judge.
    #[must_use]
    pub fn accepts(&self, nonce: Nonce, now: Timestamp) -> bool {
        if self.expires_at().is_past(now) {
            return false;
        }
        let in_grace = |replaced: &Replaced| {
            (nonce == replaced.access || nonce == replaced.refresh)
                && !replaced.grace_ends_at.is_past(now)
        };
        nonce == self.current.access
            || nonce == self.current.refresh
            || self.replaced.as_ref().is_some_and(in_grace)
    }

    /// What presenting the refresh nonce `presented` does, with `next` as the pair to go on with.
    ///
    /// A successor's refresh token being exchanged moves `replaced` on, so that its predecessor falls
    /// out of the grace at that moment; use of the successor's access token does not.
    pub fn rotate(
        mut self,
        presented: Nonce,
        next: Generation,
        grace: Duration,
        now: Timestamp,
    ) -> Rotation {
        if next.refresh == self.current.refresh {
            return Rotation::Rotated(self); // the same step again, its answer was lost
        }
        if presented == self.current.refresh {
            self.replaced = Some(Replaced {
                access: self.current.access,
                refresh: self.current.refresh,
                grace_ends_at: now.after(grace),
            });
            self.current = Generation { number: self.current.number.saturating_add(1), ..next };
            self.last_used_at = now;
            return Rotation::Rotated(self);
        }
        match &self.replaced {
            Some(replaced)
                if replaced.refresh == presented && !replaced.grace_ends_at.is_past(now) =>
            {
                Rotation::Replayed(self)
            }
            _ => Rotation::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const GRACE: Duration = Duration::from_secs(30);

    fn generation(random: &SeededRandom, at: Timestamp) -> Generation {
        Generation {
            number: 0,
            access: Nonce::new(random).unwrap(),
            refresh: Nonce::new(random).unwrap(),
            issued_at: at,
            access_expires_at: at.after(Duration::from_secs(900)),
            refresh_expires_at: at.after(Duration::from_secs(3600)),
            scope: Scopes::default(),
        }
    }

    fn session(random: &SeededRandom, at: Timestamp) -> Session {
        Session {
            id: SessionId::new(at, random).unwrap(),
            user: UserId::new(at, random).unwrap(),
            epoch: 0,
            scope: Scopes::default(),
            created_at: at,
            last_used_at: at,
            ends_at: at.after(Duration::from_secs(7200)),
            ip: None,
            user_agent: None,
            current: generation(random, at),
            replaced: None,
        }
    }

    fn rotated(rotation: Rotation) -> Session {
        match rotation {
            Rotation::Rotated(session) => session,
            other => panic!("not rotated: {other:?}"),
        }
    }

    #[test]
    fn in_the_grace_the_two_newest_generations_live_and_no_other_token() {
        let (random, now) = (SeededRandom::new(1), Timestamp::from_secs(1000));
        let replaced = Replaced {
            access: Nonce::new(&random).unwrap(),
            refresh: Nonce::new(&random).unwrap(),
            grace_ends_at: now.after(GRACE),
        };
        let session = Session { replaced: Some(replaced.clone()), ..session(&random, now) };
        let current = &session.current;
        for nonce in [current.access, current.refresh, replaced.access, replaced.refresh] {
            assert!(session.accepts(nonce, now));
        }
        assert!(!session.accepts(Nonce::new(&random).unwrap(), now));
        assert!(!session.accepts(replaced.access, now.after(GRACE)));
    }

    #[test]
    fn the_current_refresh_token_rotates_and_the_old_access_token_lives_through_the_grace() {
        let (random, now) = (SeededRandom::new(1), Timestamp::from_secs(1000));
        let first = session(&random, now);
        let next = generation(&random, now);
        let second = rotated(first.clone().rotate(first.current.refresh, next, GRACE, now));
        assert_eq!(second.current.number, 1);
        for (offset, lives) in [(29_999, true), (30_000, false), (30_001, false)] {
            let later = now.after(Duration::from_millis(offset));
            assert_eq!(second.accepts(first.current.access, later), lives, "{offset} ms");
            assert!(second.accepts(second.current.access, later));
        }
    }

    #[test]
    fn the_replaced_refresh_token_is_replayed_within_the_grace_and_reuse_after_it() {
        let (random, now) = (SeededRandom::new(2), Timestamp::from_secs(1000));
        let first = session(&random, now);
        let second = rotated(first.clone().rotate(
            first.current.refresh,
            generation(&random, now),
            GRACE,
            now,
        ));
        let present = |offset| {
            let at = now.after(Duration::from_millis(offset));
            second.clone().rotate(first.current.refresh, generation(&random, at), GRACE, at)
        };
        assert_eq!(present(29_999), Rotation::Replayed(second.clone()));
        assert_eq!(present(30_000), Rotation::Reused);
    }

    #[test]
    fn exchanging_the_successor_ends_the_grace_of_its_predecessor() {
        let (random, now) = (SeededRandom::new(3), Timestamp::from_secs(1000));
        let first = session(&random, now);
        let next = |presented, session: Session| {
            rotated(session.rotate(presented, generation(&random, now), GRACE, now))
        };
        let second = next(first.current.refresh, first.clone());
        let third = next(second.current.refresh, second);
        let again = third.rotate(first.current.refresh, generation(&random, now), GRACE, now);
        assert_eq!(again, Rotation::Reused);
    }

    #[test]
    fn without_a_grace_the_replaced_token_is_reuse_at_once() {
        let (random, now) = (SeededRandom::new(4), Timestamp::from_secs(1000));
        let first = session(&random, now);
        let presented = first.current.refresh;
        let second =
            rotated(first.rotate(presented, generation(&random, now), Duration::ZERO, now));
        let again = second.rotate(presented, generation(&random, now), Duration::ZERO, now);
        assert_eq!(again, Rotation::Reused);
    }

    #[test]
    fn the_same_step_repeated_after_a_lost_answer_is_the_same_rotation() {
        let (random, now) = (SeededRandom::new(5), Timestamp::from_secs(1000));
        let first = session(&random, now);
        let (presented, next) = (first.current.refresh, generation(&random, now));
        let once = rotated(first.rotate(presented, next.clone(), GRACE, now));
        let late = now.after(Duration::from_secs(60));
        assert_eq!(rotated(once.clone().rotate(presented, next, GRACE, late)), once);
    }

    #[test]
    fn nothing_of_an_expired_session_is_accepted() {
        let (random, now) = (SeededRandom::new(6), Timestamp::from_secs(1000));
        let session = session(&random, now);
        let idle = now.after(Duration::from_secs(3600));
        let just_before = Timestamp::from_millis(idle.millis() - 1);
        assert!(session.accepts(session.current.access, just_before));
        assert!(!session.accepts(session.current.access, idle));
        let stranger = Nonce::new(&random).unwrap();
        assert!(!session.accepts(stranger, now));
    }
}
