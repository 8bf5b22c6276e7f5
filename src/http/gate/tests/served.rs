//! The gate with hyper and the edge behind it: what a client has of the deadlines.

use std::sync::Arc;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use poem_openapi::OpenApi;
use poem_openapi::payload::PlainText;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::http::edge::tests::behind;

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/quick", method = "get")]
    async fn quick(&self) -> PlainText<&'static str> {
        PlainText("done")
    }

    #[oai(path = "/token", method = "post")]
    async fn endless(&self) -> PlainText<&'static str> {
        std::future::pending().await
    }
}

/// Accepts the ends of pipes.
struct Pipes {
    ends: UnboundedReceiver<DuplexStream>,
    seats: Arc<Seats>,
}

impl Acceptor for Pipes {
    type Io = Gate<DuplexStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            let Some(end) = self.ends.recv().await else { std::future::pending().await };
            if let Some(seat) = self.seats.take().await {
                let gate = Gate::new(end, seat);
                return Ok((gate, LocalAddr::default(), RemoteAddr::default(), Scheme::HTTP));
            }
        }
    }
}

/// A server with so many seats.
struct Server(UnboundedSender<DuplexStream>);

impl Server {
    fn start(seats: usize) -> Self {
        let (sender, ends) = unbounded_channel();
        let pipes = Pipes { ends, seats: Seats::new(seats) };
        tokio::spawn(poem::Server::new_with_acceptor(pipes).run(behind(Api, false)));
        Self(sender)
    }

    async fn connect(&self, bytes: &str) -> DuplexStream {
        let (mut peer, end) = duplex(64 << 10);
        self.0.send(end).unwrap();
        peer.write_all(bytes.as_bytes()).await.unwrap();
        peer
    }
}

const QUICK: &str = "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n";

/// The next of an answer that is sent at once.
async fn next(peer: &mut DuplexStream) -> String {
    let mut buffer = vec![0; 8192];
    let length = peer.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// The seconds that pass until the connection ends, and what comes until then.
async fn rest(peer: &mut DuplexStream) -> (u64, String) {
    let began = Instant::now();
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    (began.elapsed().as_secs(), text)
}

#[track_caller]
fn is(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    assert!(answer.contains("x-request-id: ") && answer.contains("nosniff"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_told_so_after_ten_seconds() {
    let mut peer = Server::start(8).connect("GET /quick HTTP/1.1\r\nHost: ").await;
    let mut answer = String::new();
    let began = Instant::now();
    let read = async {
        while !answer.contains("request_id") {
            answer += &next(&mut peer).await;
        }
        // What still comes does not take the answer away.
        peer.write_all(b"x").await.unwrap();
        peer.read_to_string(&mut answer).await.unwrap();
        began.elapsed()
    };
    let took = read.await;
    is(&answer, 408, "request_timeout");
    assert!(answer.contains("connection: close"));
    assert!(took >= 10 * SECOND && took <= 10 * SECOND + LINGER, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_told_so_after_ten_seconds() {
    let head = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello";
    let mut peer = Server::start(8).connect(head).await;
    let (secs, answer) = rest(&mut peer).await;
    is(&answer, 408, "request_timeout");
    assert!((10..=12).contains(&secs), "{secs}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_does_not_end_is_given_up_after_fifteen_seconds() {
    let head = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let mut peer = Server::start(8).connect(head).await;
    let began = Instant::now();
    let answer = next(&mut peer).await;
    is(&answer, 503, "unavailable");
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");
    assert_eq!(began.elapsed().as_secs(), 15);
    peer.write_all(QUICK.as_bytes()).await.unwrap();
    assert!(next(&mut peer).await.ends_with("done"), "the connection stays");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_answered_and_is_silent_is_hung_up_on() {
    let server = Server::start(8);
    for early in ["", QUICK] {
        let mut peer = server.connect(&(QUICK.to_owned() + early)).await;
        let (secs, text) = rest(&mut peer).await;
        assert_eq!((secs, text.matches("done").count()), (30, 1 + early.len() / QUICK.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_goes_for_a_new_one_and_nobody_with_a_request_in_flight() {
    let server = Server::start(2);
    let mut busy =
        server.connect("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    let mut idle = server.connect(QUICK).await;
    assert!(next(&mut idle).await.ends_with("done"));
    let mut new = server.connect(QUICK).await;
    assert!(next(&mut new).await.ends_with("done"));
    assert_eq!(rest(&mut idle).await, (0, String::new()));
    let mut other = server.connect(QUICK).await;
    assert!(next(&mut other).await.ends_with("done"));
    assert_eq!(rest(&mut new).await, (0, String::new()));
    is(&next(&mut busy).await, 503, "unavailable");
}
