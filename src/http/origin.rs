//! Where a request came from, as the domain notes it in sessions and audit events.

use std::net::IpAddr;

use poem::http::header;
use poem::{Addr, FromRequest, Request, RequestBody, Result};

use super::exchange::Exchange;
use super::trust::Trust;
use crate::auth;

/// The address, the user agent and the id of a request.
pub struct Origin(pub auth::Origin);

impl<'a> FromRequest<'a> for Origin {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> Result<Self> {
        let exchange = <&Exchange>::from_request(request, body).await?;
        let user_agent = request.headers().get(header::USER_AGENT);
        Ok(Self(auth::Origin {
            ip: exchange.client(),
            user_agent: user_agent.and_then(|text| text.to_str().ok()).map(str::to_owned),
            request_id: Some(exchange.id().to_string()),
        }))
    }
}

/// The address that sessions and audit events note and limits count by: the peer's, unless it is a proxy that
/// `trust` believes.
pub fn client(request: &Request, trust: &Trust) -> Option<IpAddr> {
    trust.perceive(peer(request), request.headers()).client
}

/// The address of whoever connected; none if over no network.
pub fn peer(request: &Request) -> Option<IpAddr> {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip().to_canonical()),
        _ => None,
    }
}
