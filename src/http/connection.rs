//! `/connection`: whom this server takes the caller's connection for, so that an operator can see whether the
//! proxy in front is set up well.
//!
//! Shows addresses that could be read, never what was sent.

use std::net::IpAddr;
use std::sync::Arc;

use poem::Request;
use poem::http::HeaderValue;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::answer::Answer;
use super::bearer::Caller;
use super::fail::{Fail, Forbidden};
use super::origin::peer;
use super::tag::Tag;
use super::trust::{Ground, Perceived, Trust};
use crate::auth::Forbidden as Missing;
use crate::auth::model::scope::ADMIN_ROLE;

/// Hops that are shown.
const HOPS_MAX: usize = 32;

/// Headers by which proxies name clients, any of which may be sent and not be read.
const NAMING: [&str; 3] = ["x-forwarded-for", "x-real-ip", "forwarded"];

/// `/connection`.
pub struct ConnectionApi {
    /// Whom to believe.
    pub trust: Arc<Trust>,
    /// Whether the public URL is https.
    pub https: bool,
}

/// The connection of this request.
#[derive(Object, Serialize)]
#[oai(rename = "Connection", read_only_all)]
struct ConnectionView {
    /// The client's address, as sessions and audit events note it and limits count by it; null over a Unix socket.
    address: Option<String>,
    /// Who connected to this server: the client, or a proxy; null over a Unix socket.
    peer: Option<String>,
    /// Whether the peer is one of `server.trusted_proxies`.
    peer_trusted: bool,
    /// `server.client_ip_header`.
    header: String,
    /// What that header names, the nearest first, 32 at most.
    hops: Vec<HopView>,
    /// The scheme of `server.public_url`, which no header changes.
    scheme: String,
    /// The scheme that `X-Forwarded-Proto` claims, if it is one.
    forwarded_scheme: Option<String>,
    /// What to make of it.
    remarks: Vec<String>,
}

/// A station on the way of a request.
#[derive(Object, Serialize)]
#[oai(rename = "Hop", read_only_all)]
struct HopView {
    /// Its address; null for what is none.
    address: Option<String>,
    /// Whether it is one of `server.trusted_proxies`.
    trusted: bool,
}

#[OpenApi(tag = "Tag::Health")]
impl ConnectionApi {
    /// See whom this server takes you for
    ///
    /// The address, the scheme and the hops of this very request: what a proxy in front should be checked with.
    #[oai(path = "/connection", method = "get", operation_id = "connection")]
    async fn connection(
        &self,
        caller: Caller,
        request: &Request,
    ) -> Result<Answer<ConnectionView>, Fail<Forbidden>> {
        if !caller.has_role(ADMIN_ROLE) {
            return Err(Missing::Role.into());
        }
        Ok(Answer(self.view(request)))
    }
}

impl ConnectionApi {
    fn view(&self, request: &Request) -> ConnectionView {
        let (trust, headers, peer) = (&self.trust, request.headers(), peer(request));
        let Perceived { client, ground } = trust.perceive(peer, headers);
        let hops = trust.hops(headers).take(HOPS_MAX);
        let claimed = headers.get("x-forwarded-proto").map(HeaderValue::as_bytes);
        let claimed = ["http", "https"].into_iter().find(|name| claimed == Some(name.as_bytes()));
        let scheme = if self.https { "https" } else { "http" };
        let mut remarks = vec![remark(ground)];
        let is_named = NAMING.iter().any(|name| headers.contains_key(*name));
        if is_named && ground == Ground::Stranger {
            remarks.push("It sent a header that names a client; if it is your proxy, list it in server.trusted_proxies.");
        }
        if is_named && ground == Ground::Unnamed {
            remarks
                .push("It sent another header that names a client; see server.client_ip_header.");
        }
        if claimed.is_some_and(|claimed| claimed != scheme) {
            remarks.push("X-Forwarded-Proto is not the scheme of server.public_url, by which this server goes.");
        }
        ConnectionView {
            address: text(client),
            peer: text(peer),
            peer_trusted: trust.trusts(peer),
            header: trust.header.to_owned(),
            hops: hops.map(|hop| self.hop(hop)).collect(),
            scheme: scheme.to_owned(),
            forwarded_scheme: claimed.map(str::to_owned),
            remarks: remarks.into_iter().map(str::to_owned).collect(),
        }
    }

    fn hop(&self, address: Option<IpAddr>) -> HopView {
        let trusted = address.is_some() && self.trust.trusts(address);
        HopView { address: text(address), trusted }
    }
}

fn text(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

const fn remark(ground: Ground) -> &'static str {
    match ground {
        Ground::Stranger => "The peer is no trusted proxy, so it is the client itself.",
        Ground::Unnamed => {
            "The peer is a trusted proxy and names no client, so all who come through it count as one."
        }
        Ground::Repeated => {
            "The header came more than once, so the peer counts: let the proxy replace it."
        }
        Ground::Malformed => "The header has no address where one is needed, so the peer counts.",
        Ground::Nearest => "The nearest hop that is no trusted proxy is the client.",
        Ground::Farthest => "All hops are trusted proxies; the farthest is taken for the client.",
    }
}
