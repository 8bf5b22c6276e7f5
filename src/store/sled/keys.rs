//! The tables and their keys: binary and big-endian, so that they sort as what they name.

use std::ops::Bound;

use super::filed::Filed;
use crate::auth::model::id::{PostId, SessionId, UserId};
use crate::clock::Timestamp;

/// A tree of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// User id: the user.
    User,
    /// Canonical name: user id.
    Name,
    /// User id, session id: the session as it is filed.
    Session,
    /// The time in ms under which a session is filed, then its key: nothing.
    Expiry,
    /// Post id: the post.
    Post,
    /// Author's user id, post id: nothing.
    Author,
    /// Event id: the audit event.
    Audit,
    /// One of the [`meta`] keys: its record.
    Meta,
    /// The id of an enabled user of role `admin`: nothing.
    Admin,
    /// A user's id, or the number of a record that strangers share: the attempts at that account.
    Attempts,
    /// The id of a deleted user whose sessions and posts are still to be swept: nothing.
    Deleted,
}

impl Table {
    /// All tables, in the order in which they are checked, copied and told of.
    pub(super) const ALL: [Self; 11] = [
        Self::User,
        Self::Name,
        Self::Admin,
        Self::Session,
        Self::Expiry,
        Self::Post,
        Self::Author,
        Self::Audit,
        Self::Attempts,
        Self::Deleted,
        Self::Meta,
    ];

    /// The name of its tree, which is also what errors call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Name => "name",
            Self::Session => "session",
            Self::Expiry => "expiry",
            Self::Post => "post",
            Self::Author => "author",
            Self::Audit => "audit",
            Self::Meta => "meta",
            Self::Admin => "admin",
            Self::Attempts => "attempts",
            Self::Deleted => "deleted",
        }
    }
}

/// Keys of [`Table::Meta`].
pub(super) mod meta {
    /// Which instance the database belongs to, and its schema.
    pub(in super::super) const INSTANCE: &[u8] = b"instance";
    /// The clock's high-water mark.
    pub(in super::super) const CLOCK: &[u8] = b"clock";
    /// The signing keys.
    pub(in super::super) const SIGNING_KEYS: &[u8] = b"signing_keys";
    /// How many audit events there are.
    pub(in super::super) const AUDIT: &[u8] = b"audit";
    /// What names that nobody has are told apart by.
    pub(in super::super) const NAME_KEY: &[u8] = b"name_key";
}

/// The key of a session: all of one user's are one range.
pub(super) fn session(user: UserId, session: SessionId) -> Vec<u8> {
    [user.to_bytes(), session.to_bytes()].concat()
}

/// The key of a session's entry in the expiry index.
pub(super) fn expiry(filed: &Filed) -> Vec<u8> {
    let mut key = filed.filed_at.millis().to_be_bytes().to_vec();
    key.extend(session(filed.session.user, filed.session.id));
    key
}

/// The session's key in a key of the expiry index.
pub(super) fn expiring(key: &[u8]) -> Option<&[u8]> {
    key.get(8..)
}

/// The key of a post's entry in its author's index.
pub(super) fn author(user: UserId, post: PostId) -> Vec<u8> {
    [user.to_bytes(), post.to_bytes()].concat()
}

/// Below every id made at or after `time`: an id starts with the low 48 bits of its milliseconds.
pub(super) fn ids_from(time: Timestamp) -> Vec<u8> {
    time.millis().to_be_bytes().into_iter().skip(2).collect()
}

/// A range of keys: from the first, up to but without the end.
#[derive(Clone, Debug)]
pub(super) struct Range {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Range {
    /// Every key.
    pub(super) const fn all() -> Self {
        Self { from: Vec::new(), to: None }
    }

    /// Every key that starts with `prefix`.
    pub(super) fn prefix(prefix: &[u8]) -> Self {
        let mut to = prefix.to_vec();
        while to.last() == Some(&u8::MAX) {
            to.pop();
        }
        let to = to.last_mut().map(|last| *last = last.saturating_add(1)).map(|()| to);
        Self { from: prefix.to_vec(), to }
    }

    /// Every key from `first` on.
    pub(super) const fn starting(first: Vec<u8>) -> Self {
        Self { from: first, to: None }
    }

    /// The part of it below `key`.
    pub(super) fn before(self, key: Vec<u8>) -> Self {
        let to = self.to.map_or(key.clone(), |to| to.min(key));
        Self { to: Some(to), ..self }
    }

    /// The part of it above `key`.
    pub(super) fn after(self, key: &[u8]) -> Self {
        let next = [key, &[0]].concat();
        Self { from: self.from.max(next), ..self }
    }

    /// Whether no key can be in it; a map may refuse such a range.
    pub(super) fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    /// The bounds, as maps and trees take them.
    pub(super) fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let to = self.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.from.clone()), to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::RangeBounds;

    proptest! {
        #[test]
        fn a_prefix_holds_exactly_what_starts_with_it(prefix: Vec<u8>, key: Vec<u8>) {
            let bounds = Range::prefix(&prefix).bounds();
            prop_assert_eq!(bounds.contains(&key), key.starts_with(&prefix));
            let longer = [prefix.clone(), key].concat();
            prop_assert!(bounds.contains(&longer));
        }

        #[test]
        fn ids_sort_by_their_time(one in 0..1_u64 << 48, other in 0..1_u64 << 48, tail: [u8; 10]) {
            let floor = ids_from(Timestamp::from_millis(one));
            let id = [ids_from(Timestamp::from_millis(other)), tail.to_vec()].concat();
            prop_assert_eq!(id < floor, other < one);
        }
    }

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        assert!(Range::prefix(&[0xff, 0xff]).bounds().contains(&vec![0xff; 20]));
        assert!(!Range::prefix(&[0x01, 0xff]).bounds().contains(&vec![0x02]));
    }

    #[test]
    fn narrowing_beyond_the_end_leaves_nothing() {
        assert!(Range::prefix(b"a").after(b"z").is_empty());
        assert!(Range::prefix(b"m").before(b"a".to_vec()).is_empty());
        assert!(!Range::prefix(b"m").after(b"a").is_empty());
    }
}
