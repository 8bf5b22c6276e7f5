//! The groups of operations in the document.

use poem_openapi::Tags;

/// A group of operations.
#[derive(Tags)]
pub enum Tag {
    /// Logging in, refreshing, revoking, asking about tokens
    Tokens,
    /// Registering, and one's own account
    Account,
    /// One's own logins
    Sessions,
    /// Users, for administrators
    Users,
    /// Things to try a token out on
    Samples,
    /// What other services need to know
    Discovery,
    /// For load balancers, proxies and containers
    Health,
}
