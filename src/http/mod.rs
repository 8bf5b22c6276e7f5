//! HTTP: requests in, the domain's answers out. The only room that names `poem`.
//!
//! Knows how a request is read and how a refusal looks; decides nothing itself. One middleware,
//! [`edge`], stands around all routes, so that no answer can leave without an id, the security headers
//! and the one error shape.
//!
//! ```text
//! listener -> gate -> hyper -> site { edge -> docs | operations { body -> auth -> answer or fail } }
//! ```

pub mod exchange;
pub mod problem;
pub mod shape;
pub mod trust;

pub mod fail;
pub mod refusal;
pub mod routes;
pub mod urlencoded;

pub mod admit;
pub mod body;
mod bounds;
pub mod cors;
pub mod edge;

pub mod answer;
pub mod bearer;
pub mod error;
pub mod examples;
pub mod origin;
pub mod page;
pub mod query;
pub mod tag;
pub mod view;

pub mod account;
pub mod admin;
pub mod connection;
pub mod forward_auth;
pub mod health;
pub mod home;
pub mod samples;
pub mod session;
pub mod token;
pub mod well_known;

pub mod docs;
pub mod document;
pub mod refresh_only;
pub mod schema;
pub mod site;

pub mod framing;
pub mod gate;
pub mod listener;
pub mod seats;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Server};
use poem_openapi::{OpenApi, OpenApiService};

use self::connection::ConnectionApi;
use self::cors::Cors;
use self::health::Heartbeat;
use self::listener::{Listeners, Socket};
use self::routes::{Routes, Slashed};
use self::trust::Trust;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::random::Random;

/// Which routes there are.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// `/docs` and `/openapi.json`.
    pub docs: bool,
    /// The sample resources.
    pub samples: bool,
    /// The password grant.
    pub password_grant: bool,
}

/// What the application is made of.
pub struct Parts {
    /// The domain.
    pub auth: Arc<Auth>,
    /// When the store last wrote.
    pub heartbeat: Arc<Heartbeat>,
    /// Where request ids have their time from.
    pub clock: Arc<dyn Clock>,
    /// Where request ids have their randomness from.
    pub random: Arc<dyn Random>,
    /// The origin under which clients find the server, without a slash at its end.
    pub public_url: String,
    /// Whether the public URL is https.
    pub https: bool,
    /// The only hosts that requests may name, any if empty.
    pub allowed_hosts: Vec<String>,
    /// Whom to believe about where a request comes from.
    pub trust: Trust,
    /// The origins whose scripts may read answers.
    pub cors_origins: Vec<String>,
    /// Which routes there are.
    pub features: Features,
}

/// Paths that clients of the replaced stacks write with a slash at the end.
const SLASHED: [Slashed; 2] = [
    Slashed { path: "/auth/", bare_serves: true },
    Slashed { path: "/items/", bare_serves: false },
];

/// All routes, with the edge around them.
#[must_use]
pub fn application(parts: Parts) -> impl Endpoint<Output = Response> + 'static {
    let features = parts.features;
    let trust = Arc::new(parts.trust);
    let connection = ConnectionApi { trust: Arc::clone(&trust), https: parts.https };
    let Operations { routes, service } =
        operations(&parts.heartbeat, features, parts.public_url, connection);
    let settings = site::Settings {
        clock: parts.clock,
        random: parts.random,
        https: parts.https,
        allowed_hosts: parts.allowed_hosts,
        trust,
        cors: Cors::new(&parts.cors_origins),
        docs: features.docs,
    };
    let document = move || openapi(features);
    site::site(service.endpoint().data(parts.auth), routes, &SLASHED, document, settings)
}

/// The OpenAPI document of the application with these features.
///
/// # Errors
/// When it cannot be made, which is a defect.
pub fn openapi(features: Features) -> Result<String, serde_json::Error> {
    let connection = ConnectionApi { trust: Arc::new(Trust::nobody()), https: false };
    let spec = operations(&Arc::default(), features, String::new(), connection).service.spec();
    document::finish(&spec, &SLASHED, features.password_grant)
}

/// The operations that `features` leaves.
fn operations(
    heartbeat: &Arc<Heartbeat>,
    features: Features,
    public_url: String,
    connection: ConnectionApi,
) -> Operations {
    let Features { docs, samples, password_grant } = features;
    let always = (
        token::TokenApi { password_grant },
        account::AccountApi,
        session::SessionApi,
        admin::AdminApi,
        home::HomeApi { docs },
        forward_auth::ForwardAuthApi,
        well_known::WellKnownApi { public_url, password_grant, docs },
        health::HealthApi(Arc::clone(heartbeat)),
        connection,
    );
    let resources = (samples::protected::ProtectedApi, samples::posts::PostsApi);
    match (samples, password_grant) {
        (false, _) => Operations::new(always),
        (true, false) => Operations::new((always, resources)),
        (true, true) => Operations::new((always, resources, samples::blog::BlogApi)),
    }
}

/// Operations whatever their types. Their document is made when it is asked for: at the start it would be
/// a good part of the time that takes, and of the memory that stays.
struct Operations {
    routes: Routes,
    service: Box<dyn Service>,
}

/// What there is to do with an [`OpenApiService`].
trait Service {
    fn spec(&self) -> String;
    fn endpoint(self: Box<Self>) -> BoxEndpoint<'static>;
}

impl Operations {
    fn new<T: OpenApi + 'static>(api: T) -> Self {
        let service = OpenApiService::new(api, "Keystile", env!("CARGO_PKG_VERSION")).description(
            "A token server: users, sessions, JWT access and refresh tokens.\n\n\
                 To try it out, register, press **Authorize**, then execute any operation: the \
                 examples work as they stand, those of Users and /introspect for an administrator.",
        );
        Self { routes: Routes::of(&T::meta(), &SLASHED), service: Box::new(service) }
    }
}

impl<T: OpenApi + 'static> Service for OpenApiService<T, ()> {
    fn spec(&self) -> String {
        self.spec()
    }

    fn endpoint(self: Box<Self>) -> BoxEndpoint<'static> {
        self.into_endpoint()
    }
}

/// Serves `application` at `sockets` on at most so many connections at once until `shutdown`, then lets requests
/// in flight finish within `drain`.
///
/// # Errors
/// When the sockets cannot be handed to the runtime.
pub async fn serve(
    application: impl Endpoint<Output = Response> + 'static,
    sockets: Vec<Socket>,
    connections_max: usize,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> io::Result<()> {
    Server::new_with_acceptor(Listeners::new(sockets, connections_max)?)
        .run_with_graceful_shutdown(application, shutdown, Some(drain))
        .await
}
