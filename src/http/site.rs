//! [`site`]: all routes of the server put together, behind the edge.

use std::sync::Arc;

use poem::endpoint::{BoxEndpoint, make_sync};
use poem::error::NotFoundError;
use poem::http::Uri;
use poem::http::uri::PathAndQuery;
use poem::{Endpoint, EndpointExt, IntoEndpoint, PathPattern, Request, Response, Result, Route};

use super::docs;
use super::document::{Document, Slashed};
use super::edge::Edge;
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
    /// Whether the documentation is served.
    pub docs: bool,
}

/// The operations of `api`, which `document` describes, with everything that stands around them.
#[must_use]
pub fn site(
    api: impl IntoEndpoint<Endpoint: 'static>,
    document: Document,
    settings: Settings,
) -> Edge<Route> {
    let Settings { clock, random, https, docs } = settings;
    let Document { json, mut routes, slashed } = document;
    let api = Arc::new(api.map_to_response().boxed());
    let mut route = Route::new();
    if docs {
        route = docs::attach(route, &mut routes, json);
    }
    for Slashed { path, bare_serves } in slashed {
        let bare = path.trim_end_matches('/');
        if bare_serves {
            routes.alias(path, bare);
        } else {
            // The edge turns this into the redirect.
            route = route.at(bare, make_sync(|_| Result::<()>::Err(NotFoundError.into())));
        }
        route = route.at(path, Renamed { api: Arc::clone(&api), path, bare });
    }
    Edge { inner: route.nest("/", api), routes, clock, random, https }
}

/// The operations at `bare`, under the name `path`.
struct Renamed {
    api: Arc<BoxEndpoint<'static>>,
    path: &'static str,
    bare: &'static str,
}

impl Endpoint for Renamed {
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
