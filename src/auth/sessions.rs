//! One's own sessions: seeing them and ending them.

use super::audit::told;
use super::authenticate::Identity;
use super::model::audit::{Actor, Event};
use super::model::id::SessionId;
use super::model::scope::known;
use super::model::session::Session;
use super::model::user::{Expect, SessionsAfter, UserChange, UserUpdate};
use super::{Auth, Fault, Forbidden, Origin, faults};
use crate::random::RandomError;
use crate::store::StoreError;

/// Why sessions were not listed or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The token does not reach that far.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// No such session of this user; somebody else's looks the same.
    #[error("no such session")]
    NotFound,
    /// The caller's own session, which was to be kept, ended meanwhile.
    #[error("the session has ended")]
    Gone,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(SessionsError: StoreError, RandomError);

/// Which of one's own sessions to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All but the one that asks.
    Others,
    /// That one too.
    All,
}

impl Auth {
    /// The caller's live sessions, oldest first.
    ///
    /// # Errors
    /// `Forbidden` without the scope `me`.
    pub async fn own_sessions(&self, caller: &Identity) -> Result<Vec<Session>, SessionsError> {
        caller.require(known::ME)?;
        Ok(self.store().sessions_of(caller.user().id, self.now()).await?)
    }

    /// Ends one session of the caller.
    ///
    /// # Errors
    /// `NotFound` when it is not a live session of the caller.
    pub async fn end_own_session(
        &self,
        caller: &Identity,
        session: SessionId,
        origin: &Origin,
    ) -> Result<(), SessionsError> {
        caller.require(known::ME)?;
        let user = caller.user().id;
        let lived = self.end_session(Actor::User(user), (user, session), None, origin).await?;
        if lived { Ok(()) } else { Err(SessionsError::NotFound) }
    }

    /// Ends several sessions of the caller in one step. Where no other lives, ending the others is nothing to write
    /// down: whoever asks again and again must not fill the audit. The step is made all the same: another request's
    /// end of them may still be on its way to the disk, and is on it when this one is answered.
    ///
    /// # Errors
    /// `Gone` when the caller's own session, which was to be kept, has ended meanwhile.
    pub async fn end_own_sessions(
        &self,
        caller: &Identity,
        ending: Ending,
        origin: &Origin,
    ) -> Result<(), SessionsError> {
        caller.require(known::ME)?;
        let (user, session) = (caller.user().id, caller.session().id);
        let sessions = match ending {
            Ending::Others => {
                let live = self.store().sessions_of(user, self.now()).await?;
                let is_alone = matches!(&live[..], [only] if only.id == session);
                if is_alone { SessionsAfter::Keep } else { SessionsAfter::EndAllBut(session) }
            }
            Ending::All => SessionsAfter::EndAll,
        };
        let (change, expect) = (UserChange::default(), Expect::default());
        let update = UserUpdate { change, expect, sessions };
        let ended =
            self.event(Event::SessionsEnded, Actor::User(user), (user, Some(session)), origin)?;
        let audit = if sessions == SessionsAfter::Keep { vec![] } else { vec![ended] };
        let step = async |audit| self.store().update_user(user, update, audit).await;
        match told(audit, step).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict | StoreError::NotFound) => Err(SessionsError::Gone),
            Err(other) => Err(other.into()),
        }
    }
}
