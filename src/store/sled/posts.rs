//! Steps on posts. Each keeps the authors' index in agreement with the posts.

use super::keys::{self, Table};
use super::staged::Staged;
use super::users;
use crate::auth::model::id::PostId;
use crate::auth::model::post::Post;
use crate::auth::model::user::Standing;
use crate::clock::Timestamp;
use crate::store::{Result, StoreError};

/// [`Store::create_post`](crate::store::Store::create_post).
pub(super) fn create(staged: &mut Staged<'_>, post: &Post) -> Result<()> {
    staged.require_room()?;
    if !staged.contains(Table::User, &post.author.to_bytes())? {
        return Err(StoreError::NotFound);
    }
    let key = post.id.to_bytes().to_vec();
    if staged.contains(Table::Post, &key)? {
        return Ok(());
    }
    staged.mark(Table::Author, keys::author(post.author, post.id));
    staged.put(Table::Post, key, post)
}

/// [`Store::update_post`](crate::store::Store::update_post).
pub(super) fn update(
    staged: &mut Staged<'_>,
    id: PostId,
    actor: Option<&Standing>,
    (title, content): (String, String),
    now: Timestamp,
) -> Result<Post> {
    staged.require_room()?;
    let post = find(staged, id)?.ok_or(StoreError::NotFound)?;
    require_standing(staged, actor)?;
    let post = Post { title, content, updated_at: now, ..post };
    staged.put(Table::Post, id.to_bytes().to_vec(), &post)?;
    Ok(post)
}

/// [`Store::delete_post`](crate::store::Store::delete_post).
pub(super) fn delete(
    staged: &mut Staged<'_>,
    id: PostId,
    actor: Option<&Standing>,
) -> Result<bool> {
    let Some(post) = find(staged, id)? else {
        return Ok(false);
    };
    require_standing(staged, actor)?;
    staged.remove(Table::Post, id.to_bytes().to_vec());
    staged.remove(Table::Author, keys::author(post.author, id));
    Ok(true)
}

fn require_standing(staged: &Staged<'_>, actor: Option<&Standing>) -> Result<()> {
    if users::still_stands(staged, actor)? { Ok(()) } else { Err(StoreError::Conflict) }
}

/// The post, unless it or its author is gone.
fn find(staged: &Staged<'_>, id: PostId) -> Result<Option<Post>> {
    let Some(post) = staged.record::<Post>(Table::Post, &id.to_bytes())? else {
        return Ok(None);
    };
    let is_visible = staged.contains(Table::User, &post.author.to_bytes())?;
    Ok(is_visible.then_some(post))
}
