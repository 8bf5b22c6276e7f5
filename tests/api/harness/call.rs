//! [`Call`]: a request as tests write it; awaiting it sends it.

use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;

use poem::Body;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::test::{TestForm, TestRequestBuilder};
use serde_json::Value;

use super::answer::Answer;
use super::{TestServer, laws};

/// A request that is being put together.
#[must_use]
pub struct Call<'a> {
    server: &'a TestServer,
    request: TestRequestBuilder<'a, BoxEndpoint<'static>>,
    method: Method,
    path: String,
    from: &'static Location<'static>,
}

impl TestServer {
    /// A request of any method.
    #[track_caller]
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            server: self,
            request: self.client.request(method.clone(), path),
            method,
            path: path.to_owned(),
            from: Location::caller(),
        }
    }

    /// A GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A POST.
    #[track_caller]
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// A PATCH.
    #[track_caller]
    pub fn patch(&self, path: &str) -> Call<'_> {
        self.call(Method::PATCH, path)
    }

    /// A PUT.
    #[track_caller]
    pub fn put(&self, path: &str) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    /// A DELETE.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }
}

impl Call<'_> {
    /// With one more header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// With a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a URL-encoded form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        Self { request: self.request.form(&fields), ..self }
    }

    /// With a multipart form.
    pub fn multipart(self, form: TestForm) -> Self {
        Self { request: self.request.multipart(form), ..self }
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self { request: self.request.body_json(body), ..self }
    }

    /// With a body of any media type.
    pub fn body(self, media: &str, body: impl Into<Body>) -> Self {
        Self { request: self.request.content_type(media).body(body), ..self }
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let response = self.request.send().await.0;
            let what = format!("{} {} at {}", self.method, self.path, self.from);
            let answer = Answer::read(response, what).await;
            laws::check(&self.server.document, &self.method, &self.path, &answer);
            answer
        })
    }
}
