//! The domain: what may happen, and who may do it. Knows no HTTP, no engine, no JWT types.

pub mod model;
