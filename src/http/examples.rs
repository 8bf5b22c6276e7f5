//! The examples of the document. They form a chain: registering with them makes the login work, so that
//! Swagger UI's "Try it out" needs no typing.

/// A username.
pub const USERNAME: &str = "alice";
/// Her password.
pub const PASSWORD: &str = "correct horse battery staple";
/// What she changes it to.
pub const NEW_PASSWORD: &str = "correct horse battery staple 2";
/// Her e-mail address, with which she signs up at the sample blog.
pub const EMAIL: &str = "alice@example.com";
/// Her full name.
pub const FULL_NAME: &str = "Alice Example";
/// A text where a token belongs; revoking it is a success, as for any token that is not live.
pub const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl";
/// Somebody an administrator makes.
pub const OTHER_USERNAME: &str = "bob";
/// His password.
pub const OTHER_PASSWORD: &str = "a quiet harbour at dawn";
