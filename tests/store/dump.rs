//! The text of a dump: what it looks like, to the letter, and that nothing but a whole one is believed.

use keystile::auth::model::audit::{Actor, AuditEvent, Event};
use keystile::auth::model::id::{EventId, PostId, SessionId, UserId};
use keystile::auth::model::post::Post;
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{Email, NamePolicy, Username};
use keystile::clock::Timestamp;
use keystile::store::dump::{Change, DumpError, Key, Reader, Writer, survey};
use proptest::prelude::*;

use crate::fixture::{Make, NOW};

fn written(changes: &[Change]) -> String {
    let mut text = String::new();
    let mut writer = Writer::begin(NOW, &mut text).unwrap();
    for change in changes {
        writer.write(change, &mut text).unwrap();
    }
    writer.finish(&mut text).unwrap();
    text
}

fn read(text: &str) -> Result<Vec<Change>, DumpError> {
    let mut reader = Reader::begin(text.as_bytes())?;
    let mut changes = vec![];
    while let Some(change) = reader.read()? {
        changes.push(change);
    }
    Ok(changes)
}

/// One of each kind, with every field set, and with none that may be absent.
fn samples() -> Vec<Change> {
    let (alice, bob) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
    let user = User {
        id: alice,
        username: Username::parse("alice", NamePolicy::Ascii).unwrap(),
        email: Some(Email::parse("a@example.org").unwrap()),
        full_name: Some("Alice \"A\" Ä".to_owned()),
        disabled: false,
        roles: ["user", "admin"].map(str::to_owned).into(),
        password_hash: PasswordHash::new("$argon2id$v=19$x".to_owned()),
        epoch: 3,
        created_at: Timestamp::from_millis(1_800_000_000_001),
    };
    let bare = User {
        id: bob,
        username: Username::parse("müller", NamePolicy::Unicode).unwrap(),
        email: None,
        full_name: None,
        disabled: true,
        roles: [].into(),
        ..user.clone()
    };
    let post = Post {
        id: PostId::from_bytes([3; 16]),
        author: alice,
        title: "a\nb".to_owned(),
        content: "c\u{1}".to_owned(),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
    };
    let event = AuditEvent {
        id: EventId::from_bytes([4; 16]),
        at: Timestamp::from_millis(5),
        event: Event::SessionOpened,
        actor: Actor::User(alice),
        user: Some(alice),
        session: Some(SessionId::from_bytes([6; 16])),
        ip: Some("192.0.2.1".to_owned()),
        request_id: Some("r".to_owned()),
    };
    let bare_event = AuditEvent {
        event: Event::KeysChanged,
        actor: Actor::Server,
        user: None,
        session: None,
        ip: None,
        request_id: None,
        ..event.clone()
    };
    vec![
        Change::User(user),
        Change::User(bare),
        Change::Post(post),
        Change::Audit(event),
        Change::Audit(bare_event),
        Change::Removed(Key::User(bob)),
        Change::Removed(Key::Post(PostId::from_bytes([7; 16]))),
        Change::Removed(Key::Audit(EventId::from_bytes([8; 16]))),
    ]
}

/// Changed only together with [`FORMAT_VERSION`](keystile::store::dump::FORMAT_VERSION), and what an older
/// text says is to be read for ever.
const GOLDEN: &str = include_str!("data/dump-1.golden.jsonl");

#[test]
fn the_text_is_the_one_that_was_agreed_on() {
    let text = written(&samples());
    // The header says which release wrote it, and so the checksum differs.
    let parts = |text: &str| {
        let (header, rest) = text.split_once('\n').unwrap();
        let (body, checksum) = rest.split_once("sha256").unwrap();
        let (header, _) = header.split_once("keystile\":").unwrap();
        (header.to_owned(), body.to_owned(), checksum.len())
    };
    assert_eq!(parts(&text), parts(GOLDEN));
}

#[test]
fn a_text_of_this_format_reads_as_what_was_written() {
    assert_eq!(read(GOLDEN).unwrap(), samples());
}

#[test]
fn every_event_and_actor_has_a_name_that_reads_back() {
    let make = Make::new();
    let events = [
        Event::UserCreated,
        Event::UserUpdated,
        Event::RolesChanged,
        Event::UserDisabled,
        Event::UserEnabled,
        Event::UserDeleted,
        Event::PasswordChanged,
        Event::SessionOpened,
        Event::SessionEnded,
        Event::SessionsEnded,
        Event::RefreshReused,
        Event::KeysChanged,
        Event::SessionEvicted,
        Event::DataExported,
        Event::DataImported,
    ];
    let mut changes: Vec<_> =
        events.into_iter().map(|event| Change::Audit(make.event(event, NOW))).collect();
    for actor in [Actor::Anonymous, Actor::Operator, Actor::Server] {
        changes.push(Change::Audit(AuditEvent { actor, ..make.event(Event::UserCreated, NOW) }));
    }
    let text = written(&changes);
    assert_eq!(read(&text).unwrap(), changes);
    for event in events {
        assert!(text.contains(&format!(r#""event":"{}""#, event.name())), "{event:?}");
    }
}

#[test]
fn a_dump_that_was_cut_short_anywhere_is_refused() {
    for length in 0..GOLDEN.len() {
        let cut = read(&String::from_utf8_lossy(&GOLDEN.as_bytes()[..length]));
        assert!(matches!(cut, Err(DumpError::Cut | DumpError::Foreign)), "{length}: {cut:?}");
    }
}

#[test]
fn a_dump_with_any_byte_changed_is_refused() {
    let mut bytes = GOLDEN.as_bytes().to_vec();
    for index in 0..bytes.len() {
        bytes[index] ^= 1;
        let edited = survey(bytes.as_slice(), &mut |_| {});
        assert!(edited.is_err(), "byte {index}");
        bytes[index] ^= 1;
    }
    assert!(survey(bytes.as_slice(), &mut |_| {}).is_ok());
}

#[test]
fn a_dump_with_a_line_more_or_less_or_moved_is_refused() {
    let lines: Vec<_> = GOLDEN.split_inclusive('\n').collect();
    for index in 1..lines.len() - 1 {
        let without = [&lines[..index], &lines[index + 1..]].concat().concat();
        assert!(matches!(read(&without), Err(DumpError::Edited)), "{index} is missing");
        let twice = [&lines[..=index], &lines[index..]].concat().concat();
        assert!(matches!(read(&twice), Err(DumpError::Edited)), "{index} is there twice");
    }
    let longer = read(&format!("{GOLDEN}\n")).unwrap_err();
    assert_eq!(longer.to_string(), "it goes on after its last line");
}

#[test]
fn what_is_no_dump_or_a_newer_one_is_refused() {
    let version_0 = GOLDEN.replacen("\"version\":1", "\"version\":0", 1);
    for foreign in [
        "",
        "\n",
        "{}\n",
        "garbage",
        "[1]\n",
        r#"{"header":{"format":"x","version":1}}"#,
        &version_0,
    ] {
        assert!(matches!(read(foreign), Err(DumpError::Foreign)), "{foreign}");
    }
    let newer = r#"{"header":{"format":"keystile-dump","version":2,"more":[]}}"#.to_owned() + "\n";
    let refused = read(&newer).unwrap_err();
    assert_eq!(refused.to_string(), "it has format 2, this release knows 1");
}

/// A whole dump of these, which has to be refused in these words.
#[track_caller]
fn contradicts(changes: &[Change], expected: &str) {
    let refused = survey(written(changes).as_bytes(), &mut |_| {}).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let make = Make::new();
    let (alice, bob) = (make.user("alice"), make.user("bob"));
    let post = make.post(&alice, NOW);
    let sound =
        [Change::Post(post.clone()), Change::User(alice.clone()), Change::User(bob.clone())];
    let contents = survey(written(&sound).as_bytes(), &mut |_| {}).unwrap();
    assert_eq!((contents.users(), contents.posts()), (2, 1));

    contradicts(
        &[Change::User(bob), Change::Post(post.clone())],
        "line 3: its author is not in the dump",
    );
    let namesake = make.user("alice");
    let both = [Change::User(alice), Change::User(namesake)];
    let refused = survey(written(&both).as_bytes(), &mut |_| {}).map(drop).unwrap_err().to_string();
    assert!(refused.ends_with("its name is another user's too"), "{refused}");
    let long = Post { content: "x".repeat(3001), ..post };
    contradicts(&[Change::Post(long)], "line 2: a field of it breaks its rule");
}

#[test]
fn a_record_that_the_store_could_not_keep_or_show_is_refused() {
    let make = Make::new();
    let alice = make.user("alice");
    let (post, event) = (make.post(&alice, NOW), make.event(Event::UserCreated, NOW));
    let beyond = Timestamp::LAST.after(std::time::Duration::from_millis(1));
    let roles = |length| [String::from_utf8(vec![b'r'; length]).unwrap()].into();
    let user = |change: fn(&mut User)| {
        let mut user = alice.clone();
        change(&mut user);
        Change::User(user)
    };
    let sound = [
        user(|user| user.created_at = Timestamp::LAST),
        user(|user| user.epoch = 1 << 53),
        Change::User(User { roles: roles(3900), ..alice.clone() }),
        Change::Post(Post { updated_at: Timestamp::LAST, ..post.clone() }),
        Change::Audit(AuditEvent { at: Timestamp::LAST, ..event.clone() }),
    ];
    assert_eq!(read(&written(&sound)).unwrap(), sound);
    for broken in [
        Change::User(User { created_at: beyond, ..alice.clone() }),
        user(|user| user.epoch = (1 << 53) + 1),
        Change::User(User { roles: roles(4096), ..alice.clone() }),
        Change::Post(Post { created_at: beyond, ..post.clone() }),
        Change::Post(Post { updated_at: beyond, ..post }),
        Change::Audit(AuditEvent { at: beyond, ..event.clone() }),
        Change::Audit(AuditEvent { request_id: Some("x".repeat(4096)), ..event }),
    ] {
        contradicts(&[broken], "line 2: a field of it breaks its rule");
    }
}

#[test]
fn a_dump_other_than_the_one_that_was_judged_is_refused() {
    let make = Make::new();
    let (alice, bob) = (make.user("alice"), make.user("bob"));
    let judged = written(&[Change::User(alice.clone()), Change::User(bob.clone())]);
    let other = written(&[Change::User(alice), Change::User(User { disabled: true, ..bob })]);
    let contents = survey(judged.as_bytes(), &mut |_| {}).unwrap();
    let load = |text: &str| contents.load(text.as_bytes(), |_| Ok::<_, DumpError>(()));
    load(&judged).unwrap();
    let refused = load(&other).unwrap_err();
    assert_eq!(refused.to_string(), "it is another dump than the one that was judged");
}

#[test]
fn the_last_line_of_a_record_counts_and_a_removed_one_is_gone_with_its_posts() {
    let make = Make::new();
    let (alice, bob) = (make.user("alice"), make.user("bob"));
    let heir = make.user("bob");
    let changed = User { disabled: true, ..alice.clone() };
    let [kept, lost] = [&alice, &bob].map(|user| make.post(user, NOW));
    let [early, late] = [1, 2].map(|_| make.event(Event::UserCreated, NOW));
    let text = written(&[
        Change::User(alice.clone()),
        Change::User(bob.clone()),
        Change::Post(kept.clone()),
        Change::Post(lost),
        Change::Audit(early.clone()),
        Change::Audit(late.clone()),
        Change::User(heir.clone()),
        Change::User(changed.clone()),
        Change::Removed(Key::User(bob.id)),
        Change::Removed(Key::Audit(early.id)),
    ]);
    let contents = survey(text.as_bytes(), &mut |_| {}).unwrap();
    let mut loaded = vec![];
    let load = |change| {
        loaded.push(change);
        Ok::<_, DumpError>(())
    };
    contents.load(text.as_bytes(), load).unwrap();
    let expected =
        [Change::Post(kept), Change::Audit(late), Change::User(heir), Change::User(changed)];
    assert_eq!(loaded, expected);
}

proptest! {
    #[test]
    fn a_name_that_could_be_taken_and_any_text_read_back(
        ascii in "[a-z0-9][a-z0-9._@+-]{0,63}",
        unicode in "\\PC{1,20}",
        title in any::<String>(),
        content in any::<String>(),
    ) {
        let make = Make::new();
        let names = [(&ascii, NamePolicy::Ascii), (&unicode, NamePolicy::Unicode)];
        let names = names.into_iter().filter_map(|(text, policy)| Username::parse(text, policy).ok());
        let users = names.map(|username| Change::User(User { username, ..make.user("x") }));
        let mut changes: Vec<_> = users.collect();
        prop_assert!(!changes.is_empty(), "{ascii} is a name");
        let post = make.post(&make.user("x"), NOW);
        changes.push(Change::Post(Post { title, content, ..post }));
        prop_assert_eq!(read(&written(&changes)).unwrap(), changes);
    }
}
