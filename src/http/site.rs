//! [`site`]: all routes of the server put together, behind the edge.

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::error::NotFoundError;
use poem::http::Uri;
use poem::http::uri::PathAndQuery;
use poem::{Endpoint, IntoEndpoint, PathPattern, Request, Response, Result, Route};

use super::cors::Cors;
use super::docs;
use super::edge::Edge;
use super::exchange::RequestIds;
use super::routes::{Routes, Slashed};
use super::trust::Trust;
use crate::clock::Clock;
use crate::random::Random;

/// What the routes need besides themselves.
pub struct Settings {
    /// Where request ids have their time from.
    pub clock: Arc<dyn Clock>,
    /// Where request ids have their randomness from.
    pub random: Arc<dyn Random>,
    /// Whether the public URL is https, so that browsers may be told to stay with it.
    pub https: bool,
    /// The only hosts that requests may name, any if empty.
    pub allowed_hosts: Vec<String>,
    /// Whom to believe about where a request comes from.
    pub trust: Arc<Trust>,
    /// Which scripts of other origins may read answers.
    pub cors: Cors,
    /// Whether the documentation is served.
    pub docs: bool,
}

/// The operations of `api`, whose paths are `routes`, with everything that stands around them; `document`
/// makes the document that describes them.
#[must_use]
pub fn site<E>(
    api: impl IntoEndpoint<Endpoint = E>,
    mut routes: Routes,
    slashed: &[Slashed],
    document: impl Fn() -> serde_json::Result<String> + Send + Sync + 'static,
    settings: Settings,
) -> Edge<Site<E>>
where
    E: Endpoint<Output = Response> + 'static,
{
    let Settings { clock, random, https, allowed_hosts, trust, cors, docs } = settings;
    let api = Arc::new(api.into_endpoint());
    let (mut pages, mut paths) = (Route::new(), Vec::new());
    for slashed in slashed.iter().filter(|slashed| routes.contains(slashed.path)) {
        let (path, bare) = (slashed.path, slashed.bare());
        if !slashed.bare_serves {
            // The edge turns this into the redirect.
            pages = pages.at(bare, make_sync(|_| Result::<()>::Err(NotFoundError.into())));
            paths.push(bare);
        }
        pages = pages.at(path, Renamed { api: Arc::clone(&api), path, bare });
        paths.push(path);
    }
    for slashed in slashed.iter().filter(|slashed| slashed.bare_serves) {
        routes.alias(slashed.path, slashed.bare());
    }
    if docs {
        pages = docs::attach(pages, &mut routes, document);
        paths.extend(docs::PATHS);
    }
    let ids = RequestIds::new(random.as_ref());
    Edge {
        inner: Site { pages, paths, api },
        routes,
        clock,
        ids,
        https,
        allowed_hosts,
        trust,
        cors,
    }
}

/// The operations, and before them the few paths that they cannot have. A router around their own
/// router would take every request's URI apart and put it together again.
pub struct Site<E> {
    pages: Route,
    /// The paths of `pages`.
    paths: Vec<&'static str>,
    api: Arc<E>,
}

impl<E: Endpoint<Output = Response>> Endpoint for Site<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if self.paths.contains(&request.uri().path()) {
            self.pages.call(request).await
        } else {
            self.api.call(request).await
        }
    }
}

/// The operations at `bare`, under the name `path`.
struct Renamed<E> {
    api: Arc<E>,
    path: &'static str,
    bare: &'static str,
}

impl<E: Endpoint<Output = Response>> Endpoint for Renamed<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let query = request.uri().query().map(|query| format!("{}?{query}", self.bare));
        let target = query.map_or(Ok(PathAndQuery::from_static(self.bare)), PathAndQuery::try_from);
        *request.uri_mut() = Uri::from(target.map_err(|_| NotFoundError)?);
        let pattern = PathPattern(self.path.into());
        match self.api.call(request).await {
            Ok(mut response) => {
                response.set_data(pattern);
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(pattern);
                Err(error)
            }
        }
    }
}
