//! Posts of the sample blog: public to read, the author's to change.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::auth::Auth;
use crate::auth::model::id::PostId;
use crate::auth::posts::Draft;
use crate::http::account::Done;
use crate::http::answer::Answer;
use crate::http::bearer::{Caller, Scope};
use crate::http::body::json::JsonBody;
use crate::http::body::text::Text;
use crate::http::fail::{Fail, Forbidden, NotFound, Unauthorized, Unavailable, Unprocessable};
use crate::http::page::page_limit;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::tag::Tag;
use crate::http::view::{PostPage, PostView};

/// Posts.
pub struct PostsApi;

/// A post's text.
#[derive(Object)]
#[oai(deny_unknown_fields, example)]
struct PostBody {
    /// One line, 1 to 200 characters.
    title: Text,
    /// 1 to 3000 bytes.
    content: Text,
}

impl Example for PostBody {
    fn example() -> Self {
        Self { title: Text("Hello".to_owned()), content: Text("My first post.".to_owned()) }
    }
}

/// A post that was just made.
#[derive(ApiResponse)]
enum CreatedPost {
    /// The post
    #[oai(status = 201)]
    Post(Answer<PostView>),
}

#[OpenApi(tag = "Tag::Samples")]
impl PostsApi {
    /// List posts, newest first
    #[oai(path = "/posts", method = "get", operation_id = "list_posts")]
    async fn list(
        &self,
        auth: Data<&Arc<Auth>>,
        /// How many at most, 1 to 100
        limit: Query<Option<u32>>,
        /// The cursor of the page before
        after: Query<Option<String>>,
    ) -> Result<Answer<PostPage>, Fail<(Unprocessable, Unavailable)>> {
        let after = after.0.map(|cursor| cursor.parse()).transpose();
        let after = after.map_err(|_| {
            Problem::new(Code::InvalidParameter, "This cursor is none that a page carried.")
        })?;
        let page = auth.posts(after, page_limit(limit.0)?).await?;
        let items = page.items.iter().map(|(post, author)| PostView::of(post, author)).collect();
        Ok(Answer(PostPage { items, next: page.next.map(|cursor| cursor.to_string()) }))
    }

    /// Read a post
    #[oai(path = "/posts/:id", method = "get", operation_id = "find_post")]
    async fn find(
        &self,
        auth: Data<&Arc<Auth>>,
        /// The post's id
        id: Path<String>,
    ) -> Result<Answer<PostView>, Fail<(NotFound, Unavailable)>> {
        let (post, author) = auth.post(post_id(&id)?).await?;
        Ok(Answer(PostView::of(&post, &author)))
    }

    /// Write a post
    #[oai(path = "/posts", method = "post", operation_id = "create_post")]
    async fn create(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::PostsWrite")] caller: Caller,
        body: JsonBody<PostBody>,
    ) -> Result<CreatedPost, Fail<(Unauthorized, Forbidden, Unprocessable, Unavailable)>> {
        let post = auth.create_post(&caller, draft(body.0)).await?;
        Ok(CreatedPost::Post(Answer(PostView::of(&post, caller.user()))))
    }

    /// Change a post
    #[oai(path = "/posts/:id", method = "put", operation_id = "edit_post")]
    async fn edit(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::PostsWrite")] caller: Caller,
        /// The post's id
        id: Path<String>,
        body: JsonBody<PostBody>,
    ) -> Result<Answer<PostView>, Fail<(Forbidden, NotFound, Unprocessable, Unavailable)>> {
        let (post, author) = auth.edit_post(&caller, post_id(&id)?, draft(body.0)).await?;
        Ok(Answer(PostView::of(&post, &author)))
    }

    /// Delete a post
    #[oai(path = "/posts/:id", method = "delete", operation_id = "delete_post")]
    async fn delete(
        &self,
        auth: Data<&Arc<Auth>>,
        #[oai(scope = "Scope::PostsWrite")] caller: Caller,
        /// The post's id
        id: Path<String>,
    ) -> Result<Done, Fail<(Forbidden, NotFound, Unavailable)>> {
        auth.delete_post(&caller, post_id(&id)?).await?;
        Ok(Done::Done)
    }
}

fn draft(body: PostBody) -> Draft {
    Draft { title: body.title.0, content: body.content.0 }
}

/// The id in the path; a text that is no id names nothing.
fn post_id(id: &Path<String>) -> Result<PostId, Problem> {
    id.0.parse().map_err(|_| Code::NotFound.into())
}
