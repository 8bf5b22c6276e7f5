//! A session as this engine stores it: with the place of its one entry in the expiry index.
//!
//! A refresh moves the deadline each time, but not the entry, which then stands too early; the sweeper files
//! the session anew when it gets there. So a refresh writes one record instead of three.

use serde::{Deserialize, Serialize};

use crate::auth::model::session::Session;
use crate::clock::Timestamp;

/// A session and where its expiry entry stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filed {
    /// The session.
    pub(super) session: Session,
    /// The deadline under which the entry stands: never later than the session's, or nobody would look.
    pub(super) filed_at: Timestamp,
}

impl Filed {
    /// Files `session` under its own deadline.
    pub(super) fn new(session: Session) -> Self {
        Self { filed_at: session.expires_at(), session }
    }
}
