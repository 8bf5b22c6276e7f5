//! Authority under parallel load, on the real binary: administrators who take it from each other, and endings that
//! race refreshes.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::client::{Client, Pair};
use crate::support::{Server, Workplace};

const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "correct horse charger";
const CONFIG: &str = "[passwords]\nworkers = 2\nqueue = 100\nqueue_timeout = \"10s\"\n";

const ROUNDS: usize = 5;
const ADMINISTRATORS: usize = 4;
/// Chains of refreshes at the same time, each of its own session.
const REFRESHERS: usize = 4;

fn serve(workplace: &Workplace) -> Server {
    workplace.write("config.toml", CONFIG);
    workplace.serve()
}

fn id(client: &Client, pair: &Pair) -> String {
    let me = client.get("/users/me").bearer(&pair.access).send().expect(200);
    me["id"].as_str().unwrap().to_owned()
}

/// Takes the authority of the user `id`, in one way of three; the status.
fn dethrone(client: &Client, by: &Pair, id: &str, way: usize) -> u16 {
    let path = format!("/users/{id}");
    let call = |method| client.call(method, &path).bearer(&by.access);
    let answer = match way % 3 {
        0 => call(Method::PATCH).json(&json!({ "roles": ["user"] })),
        1 => call(Method::PATCH).json(&json!({ "disabled": true })),
        _ => call(Method::DELETE).send(),
    };
    answer.status
}

#[test]
fn az_05_administrators_who_dethrone_each_other_at_once_leave_one() {
    let workplace = Workplace::new();
    let server = serve(&workplace);
    let (client, address) = (server.client(), server.address());
    let mut survivors: Vec<Pair> = Vec::new();
    for round in 0..ROUNDS {
        for number in survivors.len()..ADMINISTRATORS {
            let name = format!("admin-{round}-{number}");
            workplace.add_user(&name, PASSWORD, "admin");
            survivors.push(client.login(&name, PASSWORD));
        }
        let ids: Vec<String> = survivors.iter().map(|pair| id(client, pair)).collect();
        let barrier = Barrier::new(ADMINISTRATORS);
        let all_dethrone_all = |(own, pair): (usize, &Pair)| {
            let client = Client::new(address);
            barrier.wait();
            let others = (1..ADMINISTRATORS).map(|step| (own + step) % ADMINISTRATORS);
            for other in others {
                let status = dethrone(&client, pair, &ids[other], own + other + round);
                assert!([200, 204, 401, 403, 404, 409].contains(&status), "{status}");
            }
        };
        thread::scope(|scope| {
            for administrator in survivors.iter().enumerate() {
                let all_dethrone_all = &all_dethrone_all;
                scope.spawn(move || all_dethrone_all(administrator));
            }
        });
        let rules = |pair: &Pair| client.get("/admin").bearer(&pair.access).send().status == 200;
        survivors.retain(rules);
        assert!(!survivors.is_empty(), "round {round} left no administrator");
        assert!(survivors.len() < ADMINISTRATORS, "round {round} dethroned nobody");
    }
    drop(server);
    let users: Value =
        serde_json::from_str(workplace.run(&["users", "list", "--json"]).output()).unwrap();
    let rules =
        |user: &&Value| user["disabled"] == false && user["roles"].to_string().contains("admin");
    let listed = users.as_array().unwrap().iter().filter(rules).count();
    assert_eq!(listed, survivors.len(), "{users}");
}

/// What ends all sessions of a user.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Disable,
    NewPassword,
    EndAll,
    Delete,
}

fn end_all(client: &Client, admin: &Pair, user: &str, ending: Ending) -> u16 {
    let call = |method, path: &str| client.call(method, path).bearer(&admin.access);
    let path = format!("/users/{user}");
    let answer = match ending {
        Ending::Disable => call(Method::PATCH, &path).json(&json!({ "disabled": true })),
        Ending::NewPassword => {
            call(Method::PATCH, &path).json(&json!({ "password": NEW_PASSWORD }))
        }
        Ending::EndAll => call(Method::DELETE, &format!("{path}/sessions")).send(),
        Ending::Delete => call(Method::DELETE, &path).send(),
    };
    answer.status
}

/// Refreshes again and again until it is refused; every pair that it got.
fn refresh_until_refused(client: &Client, mut pair: Pair, has_ended: &AtomicBool) -> Vec<Pair> {
    let mut got = vec![pair.clone()];
    loop {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &pair.refresh)];
        let answer = client.post("/token").form(&form);
        if answer.status != 200 {
            assert_eq!(answer.status, 400, "{}", answer.text);
            assert!(has_ended.load(Ordering::SeqCst), "refused before its time: {}", answer.text);
            return got;
        }
        pair = Pair::of(&answer.expect(200));
        got.push(pair.clone());
    }
}

#[test]
fn rt_10_se_05_whatever_was_refreshed_meanwhile_is_dead_once_the_ending_is_answered() {
    let workplace = Workplace::new();
    let server = serve(&workplace);
    workplace.add_user("root", PASSWORD, "admin");
    let admin = server.client().login("root", PASSWORD);
    for ending in [Ending::Disable, Ending::NewPassword, Ending::EndAll, Ending::Delete] {
        let name = format!("user-{ending:?}").to_lowercase();
        server.client().register(&name, PASSWORD);
        let pairs: Vec<Pair> =
            (0..REFRESHERS).map(|_| server.client().login(&name, PASSWORD)).collect();
        let user = id(server.client(), &pairs[0]);
        let (begun, is_asked) = (Barrier::new(REFRESHERS + 1), AtomicBool::new(false));
        let got: Vec<Pair> = thread::scope(|scope| {
            let refresh = |pair: Pair| {
                let (begun, is_asked, address) = (&begun, &is_asked, server.address());
                scope.spawn(move || {
                    begun.wait();
                    refresh_until_refused(&Client::new(address), pair, is_asked)
                })
            };
            let chains: Vec<_> = pairs.into_iter().map(refresh).collect();
            begun.wait();
            // Some way into the chains: this takes as long as they need for a few links.
            for _ in 0..10 {
                assert_eq!(server.client().status_with(&admin.access), 200);
            }
            is_asked.store(true, Ordering::SeqCst);
            let status = end_all(server.client(), &admin, &user, ending);
            assert!([200, 204].contains(&status), "{ending:?}: {status}");
            chains.into_iter().flat_map(|chain| chain.join().unwrap()).collect()
        });
        assert!(got.len() > REFRESHERS, "{ending:?}: nothing was refreshed");
        for pair in got {
            assert_eq!(server.client().status_with(&pair.access), 401, "{ending:?}");
        }
    }
}
