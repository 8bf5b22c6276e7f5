//! Sample resources to try a token out on; `[samples] enabled = false` takes them away.

pub mod blog;
pub mod posts;
pub mod protected;
