//! Steps on users.

use keystile::auth::model::user::{
    Expect, PasswordHash, SessionsAfter, User, UserChange, UserUpdate,
};
use keystile::auth::model::username::Email;
use keystile::store::StoreError;

use crate::fixture::{AnyStore, Make, NOW, demote, disable, only, set};

pub async fn a_user_is_found_by_id_and_by_name(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    assert_eq!(store.user(alice.id).await, Ok(Some(alice.clone())));
    assert_eq!(store.user_by_name(&alice.username).await, Ok(Some(alice)));
    let bob = make.user("bob");
    assert_eq!(store.user(bob.id).await, Ok(None));
    assert_eq!(store.user_by_name(&bob.username).await, Ok(None));
}

pub async fn a_name_is_taken_once(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let other = make.user("alice");
    assert_eq!(store.create_user(other.clone(), None, vec![]).await, Err(StoreError::Conflict));
    assert_eq!(store.user(other.id).await, Ok(None));
    let renamed = User { id: alice.id, ..make.user("alicia") };
    assert_eq!(store.create_user(renamed, None, vec![]).await, Err(StoreError::Conflict));
    assert_eq!(store.user_by_name(&alice.username).await, Ok(Some(alice)));
}

pub async fn the_same_user_again_is_accepted(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    assert_eq!(store.create_user(alice.clone(), None, vec![]).await, Ok(()));
    assert_eq!(store.user(alice.id).await, Ok(Some(alice)));
}

pub async fn users_are_listed_by_name_in_pages(store: AnyStore) {
    let make = Make::new();
    for name in ["bob", "carla", "alice", "carl", "dora"] {
        make.stored_user(&store, name).await;
    }
    let page = async |prefix: &str, after: Option<&str>, limit| {
        let page = store.users(prefix.to_owned(), after.map(str::to_owned), limit).await.unwrap();
        let names: Vec<_> = page.items.iter().map(|user| user.username.to_string()).collect();
        (names.join(" "), page.next)
    };
    assert_eq!(page("", None, 2).await, ("alice bob".to_owned(), Some("bob".to_owned())));
    assert_eq!(page("", Some("bob"), 3).await, ("carl carla dora".to_owned(), None));
    assert_eq!(page("car", None, 9).await, ("carl carla".to_owned(), None));
    assert_eq!(page("car", Some("carl"), 9).await, ("carla".to_owned(), None));
    assert_eq!(page("car", Some("dora"), 9).await, (String::new(), None));
    assert_eq!(page("x", None, 9).await, (String::new(), None));
}

pub async fn an_update_sets_the_given_fields_and_no_other(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    let email = Some(Email::parse("alice@example.com").unwrap());
    let change = UserChange { email: Some(email.clone()), ..UserChange::default() };
    let updated = store.update_user(alice.id, set(change, SessionsAfter::Keep), vec![]).await;
    let expected = User { email, ..alice.clone() };
    assert_eq!(updated, Ok(expected.clone()));
    assert_eq!(store.user(alice.id).await, Ok(Some(expected)));
    let ended = store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    assert!(ended.epoch > alice.epoch);
}

pub async fn an_update_of_nobody_is_refused(store: AnyStore) {
    let nobody = Make::new().user("nobody");
    let refused = store.update_user(nobody.id, disable(), vec![]).await;
    assert_eq!(refused, Err(StoreError::NotFound));
}

/// Expects this password hash.
fn expecting(hash: &str) -> Expect {
    Expect { hash: Some(PasswordHash::new(hash.to_owned())), ..Expect::default() }
}

pub async fn an_update_expecting_another_hash_is_refused_whole(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    let rehash = |expected: &str, hash: &str| UserUpdate {
        change: UserChange {
            password_hash: Some(PasswordHash::new(hash.to_owned())),
            full_name: Some(Some("Alice".to_owned())),
            ..UserChange::default()
        },
        expect: expecting(expected),
        sessions: SessionsAfter::EndAll,
    };
    let refused = store.update_user(alice.id, rehash("stale", "new"), vec![]).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(store.user(alice.id).await, Ok(Some(alice.clone())));
    let updated =
        store.update_user(alice.id, rehash("hash of alice", "new"), vec![]).await.unwrap();
    assert_eq!(updated.password_hash.expose(), "new");
}

pub async fn a_deletion_expecting_another_hash_is_refused(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    let refused = store.delete_user(alice.id, expecting("stale"), vec![]).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(store.user(alice.id).await, Ok(Some(alice.clone())));
    assert_eq!(store.delete_user(alice.id, expecting("hash of alice"), vec![]).await, Ok(()));
}

pub async fn a_change_allowed_by_roles_the_user_no_longer_has_is_refused(store: AnyStore) {
    let make = Make::new();
    let judged = make.stored_user(&store, "alice").await;
    let expect = |user: &User| Expect { roles: Some(user.roles.clone()), ..Expect::default() };
    let promote =
        UserChange { roles: Some(["manager".to_owned()].into()), ..UserChange::default() };
    let update = set(promote, SessionsAfter::Keep);
    let alice = store.update_user(judged.id, update, vec![]).await.unwrap();
    let stale = UserUpdate { expect: expect(&judged), ..disable() };
    assert_eq!(store.update_user(alice.id, stale, vec![]).await, Err(StoreError::Conflict));
    let refused = store.delete_user(alice.id, expect(&judged), vec![]).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(store.user(alice.id).await, Ok(Some(alice.clone())));
    let fresh = UserUpdate { expect: expect(&alice), ..disable() };
    assert!(store.update_user(alice.id, fresh, vec![]).await.is_ok());
    assert_eq!(store.delete_user(alice.id, expect(&alice), vec![]).await, Ok(()));
}

pub async fn a_user_who_ends_all_sessions_hinders_no_change_by_others(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    let expect = Expect { roles: Some(alice.roles), ..Expect::default() };
    let update = UserUpdate { expect, ..disable() };
    assert!(store.update_user(alice.id, update, vec![]).await.is_ok());
}

pub async fn a_change_by_somebody_whose_standing_has_changed_is_refused(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let by = |actor: &User| Expect { actor: Some(actor.standing()), ..Expect::default() };
    for (number, change) in
        [Some(disable()), Some(demote()), Some(only(SessionsAfter::EndAll)), None]
            .into_iter()
            .enumerate()
    {
        let actor =
            User { roles: ["manager".to_owned()].into(), ..make.user(&format!("m{number}")) };
        store.create_user(actor.clone(), None, vec![]).await.unwrap();
        let harmless = UserUpdate { expect: by(&actor), ..only(SessionsAfter::Keep) };
        assert!(store.update_user(alice.id, harmless.clone(), vec![]).await.is_ok());
        let another = make.user(&format!("n{number}"));
        assert!(store.create_user(another, Some(actor.standing()), vec![]).await.is_ok());
        match change {
            Some(update) => drop(store.update_user(actor.id, update, vec![]).await.unwrap()),
            None => store.delete_user(actor.id, by(&actor), vec![]).await.unwrap(),
        }
        let refused = store.update_user(alice.id, harmless, vec![]).await;
        assert_eq!(refused, Err(StoreError::Conflict), "{number}");
        let refused = store.delete_user(alice.id, by(&actor), vec![]).await;
        assert_eq!(refused, Err(StoreError::Conflict), "{number}");
        let bob = make.user("bob");
        let refused = store.create_user(bob.clone(), Some(actor.standing()), vec![]).await;
        assert_eq!(refused, Err(StoreError::Conflict), "{number}");
        assert_eq!(store.user(bob.id).await, Ok(None));
    }
    assert_eq!(store.user(alice.id).await, Ok(Some(alice)));
}

pub async fn a_deleted_user_is_gone_and_its_name_is_free(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    assert_eq!(store.delete_user(alice.id, Expect::default(), vec![]).await, Ok(()));
    assert_eq!(store.user(alice.id).await, Ok(None));
    assert_eq!(store.user_by_name(&alice.username).await, Ok(None));
    let other = make.stored_user(&store, "alice").await;
    assert_eq!(store.user_by_name(&alice.username).await, Ok(Some(other)));
}

pub async fn deleting_nobody_is_refused(store: AnyStore) {
    let nobody = Make::new().user("nobody");
    assert_eq!(
        store.delete_user(nobody.id, Expect::default(), vec![]).await,
        Err(StoreError::NotFound)
    );
}

pub async fn the_last_administrator_can_be_neither_disabled_nor_demoted_nor_deleted(
    store: AnyStore,
) {
    let make = Make::new();
    make.stored_user(&store, "bob").await;
    let root = make.admin("root");
    store.create_user(root.clone(), None, vec![]).await.unwrap();
    for update in [disable(), demote()] {
        let refused = store.update_user(root.id, update, vec![]).await;
        assert_eq!(refused, Err(StoreError::LastAdmin));
    }
    assert_eq!(
        store.delete_user(root.id, Expect::default(), vec![]).await,
        Err(StoreError::LastAdmin)
    );
    assert_eq!(store.user(root.id).await, Ok(Some(root.clone())));
    assert!(store.update_user(root.id, only(SessionsAfter::EndAll), vec![]).await.is_ok());
}

pub async fn a_step_refused_halfway_leaves_nothing_behind(store: AnyStore) {
    let make = Make::new();
    let root = make.admin("root");
    store.create_user(root.clone(), None, vec![]).await.unwrap();
    let session = make.stored_session(&store, &root, NOW).await;
    let update = UserUpdate { sessions: SessionsAfter::EndAllBut(session.id), ..demote() };
    assert_eq!(store.update_user(root.id, update, vec![]).await, Err(StoreError::LastAdmin));
    assert_eq!(store.session(root.id, session.id, NOW).await, Ok(Some((session, root))));
}

pub async fn an_administrator_beside_another_can_go(store: AnyStore) {
    let make = Make::new();
    let (one, other) = (make.admin("one"), make.admin("other"));
    for admin in [&one, &other] {
        store.create_user(admin.clone(), None, vec![]).await.unwrap();
    }
    assert!(store.update_user(one.id, disable(), vec![]).await.is_ok());
    assert_eq!(
        store.delete_user(other.id, Expect::default(), vec![]).await,
        Err(StoreError::LastAdmin)
    );
    let enable = UserChange { disabled: Some(false), ..UserChange::default() };
    assert!(store.update_user(one.id, set(enable, SessionsAfter::Keep), vec![]).await.is_ok());
    assert_eq!(store.delete_user(other.id, Expect::default(), vec![]).await, Ok(()));
}

pub async fn without_administrators_anybody_can_go(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    assert!(store.update_user(alice.id, disable(), vec![]).await.is_ok());
    assert_eq!(store.delete_user(alice.id, Expect::default(), vec![]).await, Ok(()));
}
