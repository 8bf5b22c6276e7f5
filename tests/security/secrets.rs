//! Types that hold secrets: what the compiler knows of them.
//!
//! A type that may not have a trait would, if it had it, make the call in question ambiguous: this file would
//! not compile.

use std::fmt::Display;

use keystile::admin::protocol::PlainPassword;
use keystile::auth::model::user::PasswordHash;
use keystile::config::secret::SecretText;
use keystile::http::body::text::{Secret, Text};
use keystile::password::Password;
use keystile::token::secret::TokenSecret;
use serde::Serialize;
use zeroize::ZeroizeOnDrop;

/// Has one implementation for any type, and a second one for a type that has `$bound`.
macro_rules! lacks {
    ($bound:path: $($type:ty),+) => {{
        trait Lacks<Which> {
            fn it() {}
        }
        struct Has;
        impl<T> Lacks<()> for T {}
        impl<T: $bound> Lacks<Has> for T {}
        $(<$type as Lacks<_>>::it();)+
    }};
}

const fn is_wiped<T: ZeroizeOnDrop>() {}

#[test]
fn pw_15_what_holds_a_password_or_a_secret_is_wiped_and_cannot_be_shown() {
    lacks!(Display: Password, Secret, PlainPassword, PasswordHash, TokenSecret, SecretText);
    // The admin socket carries a password, the store a hash; nothing else is ever written.
    lacks!(Serialize: Password, Secret, TokenSecret, SecretText);
    lacks!(Clone: Password, Secret, PlainPassword);
    lacks!(PartialEq: Password, Secret, PlainPassword, TokenSecret);
    is_wiped::<Password>();
    is_wiped::<Secret>();
    is_wiped::<PlainPassword>();
    is_wiped::<TokenSecret>();
    is_wiped::<SecretText>();
    // What any of these would do to this file: a text has them.
    let text = Text("shown".to_owned());
    assert!(text.clone() == text);
    assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret");
    assert_eq!(format!("{:?}", PlainPassword::new("hunter2".to_owned())), "PlainPassword");
    assert_eq!(format!("{:?}", PasswordHash::new("hunter2".to_owned())), "PasswordHash");
}

#[test]
fn pw_16_hashes_are_equal_by_their_whole_text() {
    let hash = |text: &str| PasswordHash::new(text.to_owned());
    assert!(hash("$argon2id$a") == hash("$argon2id$a"));
    for other in ["", "$argon2id$", "$argon2id$b", "$argon2id$aa", "\0argon2id$a"] {
        assert!(hash("$argon2id$a") != hash(other), "{other}");
    }
}
