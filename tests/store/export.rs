//! Reading all out while others change it: what was read is what was stored at one moment, the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keystile::auth::model::audit::{AuditEvent, Event};
use keystile::auth::model::id::{EventId, PostId, UserId};
use keystile::auth::model::post::Post;
use keystile::auth::model::user::{Expect, SessionsAfter, User, UserChange};
use keystile::random::{Random, SeededRandom};
use keystile::store::StoreError;
use keystile::store::dump::{Change, Export, Key};

use crate::fixture::{AnyStore, Make, NOW, at, set};

/// More than any engine reads at once.
const MANY: usize = 2000;

/// What was read, as it is to be understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    pub users: BTreeMap<UserId, User>,
    pub posts: BTreeMap<PostId, Post>,
    pub audit: BTreeMap<EventId, AuditEvent>,
}

impl State {
    /// Takes what an export has given.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.apply_one(change);
        }
    }

    fn apply_one(&mut self, change: Change) {
        match change {
            Change::User(user) => drop(self.users.insert(user.id, user)),
            Change::Post(post) => drop(self.posts.insert(post.id, post)),
            Change::Audit(event) => drop(self.audit.insert(event.id, event)),
            Change::Removed(Key::User(id)) => {
                self.users.remove(&id);
                self.posts.retain(|_, post| post.author != id);
            }
            Change::Removed(Key::Post(id)) => drop(self.posts.remove(&id)),
            Change::Removed(Key::Audit(id)) => drop(self.audit.remove(&id)),
        }
    }

    /// What the store says without an export.
    pub async fn listed(store: &AnyStore) -> Self {
        let users = store.users(String::new(), None, usize::MAX).await.unwrap().items;
        let posts = store.posts(None, usize::MAX).await.unwrap().items;
        let audit = store.audit(None, usize::MAX).await.unwrap();
        Self {
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            posts: posts.into_iter().map(|(post, _)| (post.id, post)).collect(),
            audit: audit.into_iter().map(|event| (event.id, event)).collect(),
        }
    }
}

async fn rest(export: &mut Box<dyn Export>, state: &mut State) {
    while let Some(changes) = export.next().await.unwrap() {
        state.apply(changes);
    }
}

/// Does all of them at once, as far as the store lets them wait.
async fn do_all<F: Future<Output = ()> + Send + 'static>(steps: impl IntoIterator<Item = F>) {
    let steps: Vec<_> = steps.into_iter().map(tokio::spawn).collect();
    for step in steps {
        step.await.unwrap();
    }
}

/// Many users, each with a post and an event.
pub async fn stored_users(store: &AnyStore, make: &Make, prefix: &str) -> Vec<User> {
    let users: Vec<_> = (0..MANY).map(|number| make.user(&format!("{prefix}{number}"))).collect();
    do_all(users.iter().map(|user| {
        let (store, user) = (Arc::clone(store), user.clone());
        let (created, post) = (make.event(Event::UserCreated, NOW), make.post(&user, NOW));
        async move {
            store.create_user(user, None, vec![created]).await.unwrap();
            store.create_post(post).await.unwrap();
        }
    }))
    .await;
    users
}

pub async fn all_users_posts_and_events_are_read_out(store: AnyStore) {
    let make = Make::new();
    stored_users(&store, &make, "user").await;
    let noted = make.event(Event::DataExported, at(1));
    let mut export = store.export(vec![noted.clone()]).await.unwrap();
    let mut state = State::default();
    rest(&mut export, &mut state).await;
    assert_eq!((state.users.len(), state.posts.len(), state.audit.len()), (MANY, MANY, MANY + 1));
    assert_eq!(state.audit.get(&noted.id), Some(&noted));
    assert_eq!(state, State::listed(&store).await);
    assert!(export.next().await.unwrap().is_none());
}

/// Changes something that `random` picks.
async fn change_something(
    store: &AnyStore,
    make: &Make,
    random: &SeededRandom,
    known: &mut Vec<User>,
) {
    let mut dice = [0; 3];
    random.fill(&mut dice).unwrap();
    let index = usize::from(u16::from_be_bytes([dice[1], dice[2]])) % known.len();
    let user = known[index].clone();
    match dice[0] % 5 {
        0 => {
            let user = make.user(&format!("late{}", known.len()));
            store
                .create_user(user.clone(), None, vec![make.event(Event::UserCreated, NOW)])
                .await
                .unwrap();
            known.push(user);
        }
        1 => {
            let roles = Some(BTreeSet::from([format!("role{}", dice[1])]));
            let change = UserChange { roles, ..UserChange::default() };
            let noted = make.event(Event::RolesChanged, at(2));
            store
                .update_user(user.id, set(change, SessionsAfter::EndAll), vec![noted])
                .await
                .unwrap();
        }
        2 => {
            known.swap_remove(index);
            store
                .delete_user(user.id, Expect::default(), vec![make.event(Event::UserDeleted, NOW)])
                .await
                .unwrap();
            // The name goes to another at once.
            let next = User { id: make.user("x").id, ..user };
            store.create_user(next.clone(), None, vec![]).await.unwrap();
            known.push(next);
        }
        3 => store.create_post(make.post(&user, at(u64::from(dice[1])))).await.unwrap(),
        _ => {
            let newest = store.posts(None, 1).await.unwrap().items;
            if let Some((post, _)) = newest.first() {
                store
                    .update_post(post.id, None, "new".to_owned(), "text".to_owned(), at(3))
                    .await
                    .unwrap();
                store.delete_post(post.id, None).await.unwrap();
            }
        }
    }
}

pub async fn what_changes_meanwhile_is_read_out_as_it_is_in_the_end(store: AnyStore) {
    let (make, random) = (Make::new(), SeededRandom::new(crate::fixture::seed()));
    let mut known = stored_users(&store, &make, "user").await;
    let mut export = store.export(vec![]).await.unwrap();
    let mut state = State::default();
    while let Some(changes) = export.next().await.unwrap() {
        state.apply(changes);
        // Perhaps that was all: what changes from here on would not be in it.
        if state == State::listed(&store).await {
            break;
        }
        for _ in 0..40 {
            change_something(&store, &make, &random, &mut known).await;
        }
        store.sweep(NOW, 7).await.unwrap();
    }
    rest(&mut export, &mut state).await;
    assert!(state == State::listed(&store).await, "seed {}", crate::fixture::seed());
}

/// Makes, changes and deletes users of its own, each change with an event, until told to stop; the events
/// in order, each with what became of its user.
pub async fn churn(
    store: AnyStore,
    number: u64,
    stop: Arc<AtomicBool>,
) -> Vec<(EventId, UserId, Option<User>)> {
    let make = Make::seeded(100 + number);
    let mut done = vec![];
    let mut live: Vec<User> = vec![];
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let noted = make.event(Event::UserUpdated, at(turn));
        let id = noted.id;
        let (user, after) = if turn % 3 == 0 {
            let user = make.user(&format!("churn{number}-{turn}"));
            store.create_user(user.clone(), None, vec![noted]).await.unwrap();
            live.push(user.clone());
            (user.id, Some(user))
        } else if turn % 3 == 1 || live.len() < 5 {
            let index = usize::try_from(turn).unwrap() * 7 % live.len();
            let change = UserChange {
                full_name: Some(Some(format!("turn {turn}"))),
                ..UserChange::default()
            };
            let update = set(change, SessionsAfter::Keep);
            let changed = store.update_user(live[index].id, update, vec![noted]).await.unwrap();
            (changed.id, Some(changed))
        } else {
            let user = live.swap_remove(usize::try_from(turn).unwrap() * 5 % live.len());
            store.delete_user(user.id, Expect::default(), vec![noted]).await.unwrap();
            (user.id, None)
        };
        done.push((id, user, after));
    }
    done
}

pub async fn what_several_change_at_once_is_read_out_as_of_one_moment(store: AnyStore) {
    let kept = stored_users(&store, &Make::new(), "user").await;
    let stop = Arc::new(AtomicBool::new(false));
    let changing: Vec<_> = (0..4)
        .map(|number| tokio::spawn(churn(Arc::clone(&store), number, Arc::clone(&stop))))
        .collect();
    let mut states = vec![];
    for _ in 0..5 {
        let mut state = State::default();
        rest(&mut store.export(vec![]).await.unwrap(), &mut state).await;
        states.push(state);
    }
    stop.store(true, Ordering::Relaxed);
    let mut histories = vec![];
    for changing in changing {
        histories.push(changing.await.unwrap());
    }
    for state in states {
        let mut expected: BTreeMap<_, _> =
            kept.iter().map(|user| (user.id, user.clone())).collect();
        for history in &histories {
            let seen =
                history.iter().take_while(|(event, ..)| state.audit.contains_key(event)).count();
            assert!(history[seen..].iter().all(|(event, ..)| !state.audit.contains_key(event)));
            for (_, user, after) in &history[..seen] {
                match after {
                    Some(after) => drop(expected.insert(*user, after.clone())),
                    None => drop(expected.remove(user)),
                }
            }
        }
        assert!(state.users == expected, "the users are not those that the events tell of");
    }
}

pub async fn posts_of_a_deleted_user_are_not_read_out(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    store.create_post(make.post(&alice, NOW)).await.unwrap();
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    let mut state = State::default();
    rest(&mut store.export(vec![]).await.unwrap(), &mut state).await;
    assert_eq!(state, State::default());
}

pub async fn only_so_many_read_out_at_a_time(store: AnyStore) {
    let mut exports = vec![];
    let refused = loop {
        match store.export(vec![]).await {
            Ok(export) => exports.push(export),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, StoreError::Busy);
    assert!((1..=16).contains(&exports.len()), "{}", exports.len());
    // Whoever ends one, in the middle or not, makes room for another.
    exports.pop();
    let mut another = store.export(vec![]).await.unwrap();
    rest(&mut another, &mut State::default()).await;
    assert_eq!(store.export(vec![]).await.err(), Some(StoreError::Busy));
}

pub async fn a_closed_store_reads_nothing_out(store: AnyStore) {
    Make::new().stored_user(&store, "alice").await;
    let mut export = store.export(vec![]).await.unwrap();
    store.close().await;
    assert_eq!(export.next().await, Err(StoreError::Unavailable));
    assert_eq!(store.export(vec![]).await.err(), Some(StoreError::Unavailable));
}
