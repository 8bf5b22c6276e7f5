//! What must hold of names and scopes, whatever text they are made of.

use super::scope::Scopes;
use super::username::{NamePolicy, Username};

/// A scope reads back as it is written, and has no more than was asked for.
pub(crate) fn scope(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(scopes) = Scopes::parse(text) else { return };
    assert_eq!(Scopes::parse(&scopes.to_string()).as_ref(), Ok(&scopes));
    assert!(text.split(' ').all(|token| scopes.contains(token)));
    assert!(scopes.iter().all(|scope| text.split(' ').any(|token| token == scope)));
}

/// A canonical name is its own canonical form, and stays one when the policy becomes the wider one.
pub(crate) fn username(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let wider = [NamePolicy::Ascii, NamePolicy::Unicode];
    for (index, policy) in wider.into_iter().enumerate() {
        let Ok(name) = Username::parse(text, policy) else { continue };
        for policy in wider.into_iter().skip(index) {
            assert_eq!(Username::parse(name.as_str(), policy).as_ref(), Ok(&name));
        }
    }
}
