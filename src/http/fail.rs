//! [`Fail`]: the refusals of one operation, declared in its type, so that the OpenAPI document lists
//! exactly those statuses.

use std::marker::PhantomData;

use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponse, MetaResponses, Registry};

use super::problem::Problem;

/// A refusal with one of the statuses `S`: a marker of this module, or a tuple of them.
///
/// In debug builds an undeclared status panics, so that a test finds a document that is not honest.
pub struct Fail<S> {
    problem: Problem,
    statuses: PhantomData<fn() -> S>,
}

/// The statuses that an operation declares.
pub trait Statuses {
    /// Adds them to `list`.
    fn list(list: &mut Vec<u16>);
}

impl<S: Statuses, P: Into<Problem>> From<P> for Fail<S> {
    fn from(problem: P) -> Self {
        let problem = problem.into();
        debug_assert!(declares::<S>(&problem), "{problem:?} is not declared by its operation");
        Self { problem, statuses: PhantomData }
    }
}

impl<S> From<Fail<S>> for poem::Error {
    fn from(fail: Fail<S>) -> Self {
        fail.problem.into()
    }
}

/// The content of these answers is the same everywhere and is filled in by [`super::document`].
impl<S: Statuses> ApiResponse for Fail<S> {
    fn meta() -> MetaResponses {
        let responses = statuses::<S>()
            .into_iter()
            .map(|status| MetaResponse {
                description: "",
                status: Some(status),
                status_range: None,
                content: vec![],
                headers: vec![],
            })
            .collect();
        MetaResponses { responses }
    }

    fn register(_: &mut Registry) {}
}

fn statuses<S: Statuses>() -> Vec<u16> {
    let mut list = Vec::new();
    S::list(&mut list);
    list
}

/// A defect is never declared: any operation may meet one, and the document says so for all.
fn declares<S: Statuses>(problem: &Problem) -> bool {
    let status = poem::error::ResponseError::status(problem).as_u16();
    status == 500 || statuses::<S>().contains(&status)
}

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident = $status:literal),+ $(,)?) => {$(
        $(#[$doc])*
        pub enum $name {}

        impl Statuses for $name {
            fn list(list: &mut Vec<u16>) {
                list.push($status);
            }
        }
    )+};
}

markers! {
    /// 400.
    BadRequest = 400,
    /// 401.
    Unauthorized = 401,
    /// 403.
    Forbidden = 403,
    /// 404.
    NotFound = 404,
    /// 409.
    Conflict = 409,
    /// 422.
    Unprocessable = 422,
    /// 429.
    TooManyRequests = 429,
    /// 503.
    Unavailable = 503,
}

macro_rules! tuples {
    ($($(($name:ident))+;)+) => {$(
        impl<$($name: Statuses),+> Statuses for ($($name,)+) {
            fn list(list: &mut Vec<u16>) {
                $($name::list(list);)+
            }
        }
    )+};
}

tuples! {
    (A)(B);
    (A)(B)(C);
    (A)(B)(C)(D);
    (A)(B)(C)(D)(E);
    (A)(B)(C)(D)(E)(F);
    (A)(B)(C)(D)(E)(F)(G);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;

    #[test]
    fn a_declared_refusal_passes_and_the_declared_statuses_are_listed() {
        let fail: Fail<(NotFound, Conflict)> = Code::UsernameTaken.into();
        assert_eq!(poem::Error::from(fail).status(), 409);
        let meta = Fail::<(NotFound, Conflict)>::meta();
        let listed: Vec<_> = meta.responses.iter().filter_map(|response| response.status).collect();
        assert_eq!(listed, [404, 409]);
    }

    #[test]
    fn a_defect_needs_no_declaration() {
        let fail: Fail<NotFound> = Problem::internal("broken").into();
        assert_eq!(poem::Error::from(fail).status(), 500);
    }

    #[test]
    #[should_panic(expected = "is not declared")]
    fn an_undeclared_refusal_is_found_by_its_test() {
        let _: Fail<NotFound> = Code::Forbidden.into();
    }
}
