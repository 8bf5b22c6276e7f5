//! A post of the sample blog.

use serde::{Deserialize, Serialize};

use super::id::{PostId, UserId};
use crate::clock::Timestamp;

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest content, in bytes; with the rest of the record it stays below 4 KiB,
/// which the store's engine keeps in its log.
pub const CONTENT_BYTES_MAX: usize = 3000;

/// A post as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Newest posts have the greatest ids.
    pub id: PostId,
    /// Who wrote it; hidden when that user is gone.
    pub author: UserId,
    /// One line.
    pub title: String,
    /// The text.
    pub content: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
