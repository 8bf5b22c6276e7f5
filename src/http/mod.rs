//! HTTP: requests in, the domain's answers out. The only room that names `poem`.
//!
//! Knows how a request is read and how a refusal looks; decides nothing itself. One middleware,
//! [`edge`], stands around all routes, so that no answer can leave without an id, the security headers
//! and the one error shape.
//!
//! ```text
//! listener -> site { edge -> docs | operations { body -> auth -> answer or fail } }
//! ```

pub mod exchange;
pub mod problem;

pub mod fail;
pub mod refusal;
pub mod routes;

pub mod body;
pub mod edge;

pub mod docs;
pub mod document;
pub mod site;

pub mod listener;
