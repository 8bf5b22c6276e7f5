//! A poem route that answers a constant of about the size of a user, accepted as the server accepts.

use std::io::Write;
use std::net::TcpListener;

use anyhow::Result;
use keystile::http::listener::{Listeners, Socket};
use poem::endpoint::make_sync;
use poem::{Route, Server};

const ANSWER: &str = r#"{"id":"01JD7Z5V8Q3M6T9X2B4N7R0K1F","username":"user-0","email":null,"full_name":null,"disabled":false,"roles":["user"],"created_at":"2026-01-31T12:00:00.000Z"}"#;

/// Serves until the process is killed.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let route = Route::new().at("/users/me", make_sync(|_| ANSWER));
        let listeners = Listeners::new(vec![Socket::Tcp(listener)], 1024)?;
        Ok(Server::new_with_acceptor(listeners).run(route).await?)
    })
}
