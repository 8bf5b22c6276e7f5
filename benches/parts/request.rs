//! A bearer check without a socket: the domain's part of it, and all of it from the router down.

use std::sync::Arc;

use anyhow::Result;
use criterion::Criterion;
use keystile::app::domain::{self, ClockRule, Domain, Missing};
use keystile::auth::Origin;
use keystile::auth::register::NewAccount;
use keystile::clock::{SystemClock, Timestamp};
use keystile::config::Config;
use keystile::config::sources::{Environment, Sources};
use keystile::http::health::Heartbeat;
use keystile::http::trust::Trust;
use keystile::http::{self, Features};
use keystile::password::Password;
use keystile::random::SystemRandom;
use poem::{Endpoint, Request};
use tempfile::TempDir;

/// With the default configuration, on a directory with one user.
pub fn measure(criterion: &mut Criterion) -> Result<()> {
    let directory = TempDir::new()?;
    let config = Config::load(&Sources {
        file: None,
        directory: directory.path().to_owned(),
        environment: Environment::default(),
        listen: Vec::new(),
        data: Some(directory.path().join("data")),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let domain = runtime.block_on(domain::open(&config, ClockRule::Check, Missing::Make))?;
    let account = NewAccount {
        username: "alice".to_owned(),
        password: Password::new("correct horse battery staple".to_owned()),
        email: None,
        full_name: None,
    };
    let token = runtime.block_on(domain.auth.sign_up(account, &Origin::default()))?.access_token;
    criterion.bench_function("authenticate a bearer token", |bencher| {
        bencher.iter(|| runtime.block_on(domain.auth.authenticate(&token)).is_ok());
    });
    let application = application(&domain)?;
    let request = || {
        let bearer = format!("Bearer {token}");
        let request = Request::builder().uri_str("/users/me").header("host", "127.0.0.1:8000");
        request.header("authorization", bearer).finish()
    };
    let answer = runtime.block_on(application.get_response(request()));
    anyhow::ensure!(answer.status().is_success(), "answered {}", answer.status());
    criterion.bench_function("GET /users/me from the router down", |bencher| {
        bencher.iter(|| runtime.block_on(application.get_response(request())));
    });
    runtime.block_on(domain.store.close());
    Ok(())
}

fn application(domain: &Domain) -> Result<impl Endpoint<Output = poem::Response>> {
    Ok(http::application(http::Parts {
        auth: Arc::clone(&domain.auth),
        heartbeat: Arc::new(Heartbeat::default()),
        clock: Arc::new(SystemClock::above(Timestamp::default())?),
        random: Arc::new(SystemRandom),
        public_url: "http://127.0.0.1:8000".to_owned(),
        https: false,
        allowed_hosts: vec![],
        trust: Trust::nobody(),
        cors_origins: vec![],
        features: Features { docs: true, samples: true, password_grant: true },
    }))
}
