//! Posts of the sample blog: public to read, the author's (or an administrator's) to change.

use super::authenticate::Identity;
use super::model::id::PostId;
use super::model::post::{CONTENT_BYTES_MAX, Post, TITLE_CHARS_MAX};
use super::model::scope::{ADMIN_ROLE, known};
use super::model::user::User;
use super::{Auth, Fault, Forbidden, faults};
use crate::random::RandomError;
use crate::store::{Page, StoreError};

/// A post's text, as submitted.
pub struct Draft {
    /// One line.
    pub title: String,
    /// The text.
    pub content: String,
}

/// Why posts were not shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum PostsError {
    /// The token does not reach that far, or the post is somebody else's.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The title breaks its rule.
    #[error("a title has 1 to 200 characters and no control characters")]
    Title,
    /// The content breaks its rule.
    #[error("a content has 1 to 3000 bytes")]
    Content,
    /// No such post.
    #[error("no such post")]
    NotFound,
    /// The caller was deleted, or lost the authority, meanwhile.
    #[error("the account, or its authority, is gone")]
    Gone,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(PostsError: RandomError);

impl From<StoreError> for PostsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict => Self::Gone,
            other => Self::Fault(other.into()),
        }
    }
}

impl Draft {
    fn check(&self) -> Result<(), PostsError> {
        let title = self.title.trim();
        let long = self.title.chars().count() > TITLE_CHARS_MAX;
        if title.is_empty() || long || title.chars().any(char::is_control) {
            return Err(PostsError::Title);
        }
        if self.content.is_empty() || self.content.len() > CONTENT_BYTES_MAX {
            return Err(PostsError::Content);
        }
        Ok(())
    }
}

impl Auth {
    /// A page of posts with their authors, newest first.
    ///
    /// # Errors
    /// A [`Fault`] only.
    pub async fn posts(
        &self,
        after: Option<PostId>,
        limit: usize,
    ) -> Result<Page<(Post, User), PostId>, PostsError> {
        Ok(self.store().posts(after, limit).await?)
    }

    /// One post with its author.
    ///
    /// # Errors
    /// `NotFound` when it, or its author, is gone.
    pub async fn post(&self, id: PostId) -> Result<(Post, User), PostsError> {
        self.store().post(id).await?.ok_or(PostsError::NotFound)
    }

    /// Publishes a post of the caller.
    ///
    /// # Errors
    /// `Forbidden` without the scope `posts:write`; `Gone` when the caller was deleted meanwhile.
    pub async fn create_post(&self, caller: &Identity, draft: Draft) -> Result<Post, PostsError> {
        caller.require(known::POSTS_WRITE)?;
        draft.check()?;
        let now = self.now();
        let post = Post {
            id: PostId::new(now, self.random())?,
            author: caller.user().id,
            title: draft.title,
            content: draft.content,
            created_at: now,
            updated_at: now,
        };
        match self.store().create_post(post.clone()).await {
            Ok(()) => Ok(post),
            Err(StoreError::NotFound) => Err(PostsError::Gone),
            Err(other) => Err(other.into()),
        }
    }

    /// Replaces the text of a post; returns it with its author.
    ///
    /// # Errors
    /// `Forbidden` for somebody else's post, unless the caller is an administrator, and is still one when it is
    /// written; `Gone` if not.
    pub async fn edit_post(
        &self,
        caller: &Identity,
        id: PostId,
        draft: Draft,
    ) -> Result<(Post, User), PostsError> {
        let (_, author) = self.own_post(caller, id).await?;
        draft.check()?;
        let now = self.now();
        let post = self
            .store()
            .update_post(id, Some(caller.user().standing()), draft.title, draft.content, now)
            .await?;
        Ok((post, author))
    }

    /// Removes a post.
    ///
    /// # Errors
    /// As [`Auth::edit_post`].
    pub async fn delete_post(&self, caller: &Identity, id: PostId) -> Result<(), PostsError> {
        self.own_post(caller, id).await?;
        let removed = self.store().delete_post(id, Some(caller.user().standing())).await?;
        if removed { Ok(()) } else { Err(PostsError::NotFound) }
    }

    /// The post, if the caller may change it, by its stored owner.
    async fn own_post(&self, caller: &Identity, id: PostId) -> Result<(Post, User), PostsError> {
        caller.require(known::POSTS_WRITE)?;
        let (post, author) = self.post(id).await?;
        if post.author != caller.user().id && !caller.has_role(ADMIN_ROLE) {
            return Err(Forbidden::Authority.into());
        }
        Ok((post, author))
    }
}
