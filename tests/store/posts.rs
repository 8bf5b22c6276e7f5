//! Steps on posts.

use keystile::auth::model::post::Post;
use keystile::auth::model::user::Expect;
use keystile::store::{Page, StoreError};

use crate::fixture::{AnyStore, Make, NOW, at};

pub async fn a_post_is_found_with_its_author(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let post = make.post(&alice, NOW);
    assert_eq!(store.create_post(post.clone()).await, Ok(()));
    assert_eq!(store.post(post.id).await, Ok(Some((post, alice.clone()))));
    assert_eq!(store.post(make.post(&alice, NOW).id).await, Ok(None));
}

pub async fn a_post_of_nobody_is_refused(store: AnyStore) {
    let make = Make::new();
    let post = make.post(&make.user("nobody"), NOW);
    assert_eq!(store.create_post(post).await, Err(StoreError::NotFound));
    assert_eq!(store.posts(None, 9).await.unwrap().items, []);
}

pub async fn the_same_post_again_is_accepted(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let post = make.post(&alice, NOW);
    for _ in 0..2 {
        assert_eq!(store.create_post(post.clone()).await, Ok(()));
    }
    assert_eq!(store.posts(None, 9).await.unwrap().items, [(post, alice)]);
}

pub async fn posts_are_listed_newest_first_in_pages(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let posts = [0, 1, 2].map(|secs| make.post(&alice, at(secs)));
    for post in &posts {
        store.create_post(post.clone()).await.unwrap();
    }
    let [oldest, middle, newest] = posts.map(|post| (post, alice.clone()));
    let first = store.posts(None, 2).await.unwrap();
    let next = Some(middle.0.id);
    assert_eq!(first, Page { items: vec![newest, middle], next });
    assert_eq!(store.posts(next, 2).await.unwrap(), Page { items: vec![oldest], next: None });
}

pub async fn an_update_replaces_the_text(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let post = make.post(&alice, NOW);
    store.create_post(post.clone()).await.unwrap();
    let updated =
        store.update_post(post.id, None, "new".to_owned(), "text".to_owned(), at(1)).await;
    let expected =
        Post { title: "new".to_owned(), content: "text".to_owned(), updated_at: at(1), ..post };
    assert_eq!(updated, Ok(expected.clone()));
    assert_eq!(store.post(expected.id).await, Ok(Some((expected, alice))));
}

pub async fn an_update_of_no_post_is_refused(store: AnyStore) {
    let make = Make::new();
    let post = make.post(&make.user("nobody"), NOW);
    let refused = store.update_post(post.id, None, "a".to_owned(), "b".to_owned(), NOW).await;
    assert_eq!(refused, Err(StoreError::NotFound));
}

pub async fn a_deleted_post_is_gone(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let post = make.post(&alice, NOW);
    store.create_post(post.clone()).await.unwrap();
    assert_eq!(store.delete_post(post.id, None).await, Ok(true));
    assert_eq!(store.post(post.id).await, Ok(None));
    assert_eq!(store.delete_post(post.id, None).await, Ok(false));
}

pub async fn posts_of_a_deleted_user_are_gone_at_once(store: AnyStore) {
    let make = Make::new();
    let (alice, bob) =
        (make.stored_user(&store, "alice").await, make.stored_user(&store, "bob").await);
    let (gone, kept) = (make.post(&alice, NOW), make.post(&bob, NOW));
    for post in [&gone, &kept] {
        store.create_post(post.clone()).await.unwrap();
    }
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    assert_eq!(store.post(gone.id).await, Ok(None));
    assert_eq!(store.posts(None, 1).await, Ok(Page { items: vec![(kept, bob)], next: None }));
    assert_eq!(store.delete_post(gone.id, None).await, Ok(false));
    let refused = store.update_post(gone.id, None, "a".to_owned(), "b".to_owned(), NOW).await;
    assert_eq!(refused, Err(StoreError::NotFound));
}
