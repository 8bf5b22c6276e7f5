//! A restart: users and sessions are there again, and what has ended stays ended.

use crate::PASSWORD;
use crate::support::Workplace;
use crate::support::client::Pair;

#[test]
fn users_and_sessions_survive_a_restart() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    let alice = client.register("alice", PASSWORD);
    let kept = client.login("alice", PASSWORD);
    let ended = client.login("alice", PASSWORD);
    client.post("/logout").bearer(&ended.access).send().expect(200);
    let rotated = client.login("alice", PASSWORD);
    let next = Pair::of(&client.post("/refresh").bearer(&rotated.refresh).send().expect(200));
    server.stop();

    let server = workplace.serve();
    let client = server.client();
    assert_eq!(client.get("/users/me").bearer(&kept.access).send().expect(200), alice);
    assert_eq!(client.status_with(&ended.access), 401);
    client.post("/refresh").bearer(&ended.refresh).send().expect(401);
    let continued = Pair::of(&client.post("/refresh").bearer(&kept.refresh).send().expect(200));
    assert_eq!(client.status_with(&continued.access), 200);
    let again = Pair::of(&client.post("/refresh").bearer(&rotated.refresh).send().expect(200));
    assert_eq!(again, next, "the replaced token still gets the same pair within the grace");
    client.login("alice", PASSWORD);
    let sessions = client.get("/users/me/sessions").bearer(&next.access).send().expect(200);
    assert_eq!(sessions.as_array().unwrap().len(), 3);
}
