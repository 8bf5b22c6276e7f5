//! What belongs to one request and its answer: the request id, where it came from, and who turned out to be
//! asking.
//!
//! Written by the edge and the bearer check, read by the log line.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use poem::http::StatusCode;
use poem::{FromRequest, Request, RequestBody, Result};
use ulid::Ulid;

use super::problem::Problem;
use crate::auth::Origin;
use crate::auth::audit::Incident;
use crate::auth::model::audit::Actor;
use crate::auth::model::id::UserId;
use crate::clock::Timestamp;
use crate::random::{self, Random};

/// Names one request in the answer, in error bodies and in the log. A ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Ulid);

impl RequestId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }

    /// The id's text, written into `buffer`.
    #[must_use]
    pub fn encode(self, buffer: &mut [u8; ulid::ULID_LEN]) -> &str {
        self.0.array_to_str(buffer)
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.encode(&mut [0; ulid::ULID_LEN]))
    }
}

/// Makes request ids: the time, and a number that counts on from a random one. An id is a name and no
/// secret, so that the system's generator need not be asked for each.
#[derive(Debug)]
pub struct RequestIds {
    instance: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that no other process makes. Without randomness requests are still answered.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        let number = || random::bytes(random).map(u64::from_be_bytes).ok();
        let (Some(instance), Some(first)) = (number(), number()) else {
            tracing::error!("no randomness for request ids");
            return Self { instance: 0, next: AtomicU64::new(0) };
        };
        Self { instance: instance & 0xffff, next: AtomicU64::new(first) }
    }

    /// The id of a request that came at `now`.
    pub fn next(&self, now: Timestamp) -> RequestId {
        let number = u128::from(self.next.fetch_add(1, Ordering::Relaxed));
        RequestId(Ulid::from_parts(now.millis(), u128::from(self.instance) << 64 | number))
    }
}

/// One request's id, origin and caller, shared between the edge and whoever learns who is calling.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    client: Option<IpAddr>,
    caller: OnceLock<UserId>,
}

impl Exchange {
    /// The exchange of request `id` from the address `client`, its caller not yet known.
    #[must_use]
    pub fn new(id: RequestId, client: Option<IpAddr>) -> Self {
        Self(Arc::new(Inner { id, client, caller: OnceLock::new() }))
    }

    /// The exchange that the edge opened for `request`.
    #[must_use]
    pub fn of(request: &Request) -> Option<&Self> {
        request.data()
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.0.id
    }

    /// The address that the request came from; none if over no network.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.0.client
    }

    /// Notes for the log who is calling; the first note stands.
    pub fn note_caller(&self, caller: UserId) {
        self.0.caller.get_or_init(|| caller);
    }

    /// Who is calling, once known.
    #[must_use]
    pub fn caller(&self) -> Option<UserId> {
        self.0.caller.get().copied()
    }

    /// Tells of an answer that denies the caller something.
    pub fn tell_of_denial(&self, status: StatusCode) {
        if status == StatusCode::FORBIDDEN
            && let Some(caller) = self.caller()
        {
            let request_id = Some(self.0.id.to_string());
            let origin = Origin { ip: self.0.client, user_agent: None, request_id };
            Incident::AccessDenied.tell((Actor::User(caller), None), &origin);
        }
    }
}

impl<'a> FromRequest<'a> for &'a Exchange {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        Exchange::of(request)
            .ok_or_else(|| Problem::internal("a request came around the edge").into())
    }
}
