//! Goal: no peer takes as long as it likes, and what is refused is refused in the server's own words.
//! Method: a gate on a pipe, later with hyper behind it, time standing still but for what is waited for.

mod served;

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::http::seats::Seats;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

async fn gate(pipe_bytes: usize) -> (DuplexStream, Gate<DuplexStream>) {
    let (peer, ours) = duplex(pipe_bytes);
    (peer, Gate::new(ours, Seats::new(8).take().await.unwrap()))
}

/// What is read next, as hyper would, in a buffer of its size.
async fn read(gate: &mut Gate<DuplexStream>) -> io::Result<String> {
    let mut buffer = vec![0; 8192];
    let length = gate.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Writes an answer as hyper does, which flushes at its end.
async fn answer(gate: &mut Gate<DuplexStream>, bytes: &[u8]) {
    gate.write_all(bytes).await.unwrap();
    gate.flush().await.unwrap();
}

/// The seconds that pass until something is read, and what that is.
async fn after(gate: &mut Gate<DuplexStream>) -> (u64, String) {
    let began = Instant::now();
    let read = read(gate).await.unwrap();
    (began.elapsed().as_secs(), read)
}

#[track_caller]
fn is_refusal(read: &str, path: &str, reason: &str) {
    let stand_in =
        format!("REFUSED {path} HTTP/1.1\r\nreason: {reason}\r\nconnection: close\r\n\r\n");
    assert_eq!(read, stand_in);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_hung_up_on_after_thirty_seconds() {
    let (mut peer, mut gate) = gate(64).await;
    peer.write_all(GET).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
    answer(&mut gate, b"x").await;
    assert!(timeout(29 * SECOND, gate.read_u8()).await.is_err());
    assert_eq!(after(&mut gate).await, (1, String::new()));
    assert_eq!(after(&mut gate).await, (0, String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_now_and_then_is_kept() {
    let (mut peer, mut gate) = gate(64).await;
    for _ in 0..3 {
        assert!(timeout(29 * SECOND, gate.read_u8()).await.is_err());
        peer.write_all(GET).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
        answer(&mut gate, b"x").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_no_silence() {
    let (mut peer, mut gate) = gate(64).await;
    peer.write_all(GET).await.unwrap();
    read(&mut gate).await.unwrap();
    assert!(timeout(300 * SECOND, gate.read_u8()).await.is_err());
    drop(peer);
    assert_eq!(after(&mut gate).await, (0, String::new()), "a client that leaves is noticed");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_after_its_answer_is_no_request_in_flight() {
    let (mut peer, mut gate) = gate(4096).await;
    peer.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe").await.unwrap();
    assert!(read(&mut gate).await.unwrap().ends_with("he"));
    answer(&mut gate, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    peer.write_all(b"llo").await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), "llo");
    assert_eq!(after(&mut gate).await, (30, String::new()));
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_answer_keeps_no_seat_whatever_else_was_asked_for() {
    for first_answer in ["", "x"] {
        let (mut peer, ours) = duplex(64);
        let seats = Seats::new(1);
        let mut gate = Gate::new(ours, seats.take().await.unwrap());
        peer.write_all(&GET.repeat(2)).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
        answer(&mut gate, first_answer.as_bytes()).await;
        if !first_answer.is_empty() {
            assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
        }
        assert!(!seats.free_one(), "a request is in flight");
        assert!(timeout(SECOND, gate.write_all(&[b'x'; 65])).await.is_err());
        assert!(seats.free_one(), "nothing is taken");
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_body_that_is_here_is_no_answer() {
    let (mut peer, mut gate) = gate(4096).await;
    let head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for is_vectored in [false, true] {
        peer.write_all(format!("{head}hello").as_bytes()).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap(), format!("{head}hello"));
        if is_vectored {
            let slices = [IoSlice::new(CONTINUE), IoSlice::new(b"")];
            assert_eq!(gate.write_vectored(&slices).await.unwrap(), CONTINUE.len());
        } else {
            answer(&mut gate, CONTINUE).await;
        }
        assert!(timeout(31 * SECOND, gate.read_u8()).await.is_err(), "it is in flight");
        answer(&mut gate, &[CONTINUE, b"HTTP/1.1 200 OK\r\n\r\n"].concat()).await;
    }
    assert_eq!(after(&mut gate).await, (30, String::new()));
}

#[tokio::test(start_paused = true)]
async fn however_much_a_reader_takes_little_is_kept_back() {
    let (mut peer, mut gate) = gate(1 << 20).await;
    peer.write_all(&GET.repeat(10_000)).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    assert_eq!(gate.read(&mut buffer).await.unwrap(), GET.len());
    assert!(timeout(SECOND, gate.read_u8()).await.is_err());
    assert!(gate.held.len() < AHEAD_BYTES_MAX + PIECE_BYTES, "{}", gate.held.len());
}

#[tokio::test(start_paused = true)]
async fn a_head_has_ten_seconds_however_it_drips() {
    let (mut peer, mut gate) = gate(64).await;
    let drip = async {
        for byte in b"POST /token HTTP/1.1\r\nHost: x" {
            if peer.write_u8(*byte).await.is_err() {
                break;
            }
            tokio::time::sleep(SECOND).await;
        }
        peer
    };
    let (read, _peer) = tokio::join!(after(&mut gate), drip);
    assert_eq!(read.0, 10);
    // Only a whole path is a path.
    is_refusal(&read.1, "/", "late");
    let (mut peer, mut gate) = self::gate(64).await;
    peer.write_all(b"POST /token HTTP/1.1\r\n").await.unwrap();
    is_refusal(&after(&mut gate).await.1, "/token", "late");
}

#[tokio::test(start_paused = true)]
async fn a_head_in_pieces_arrives_whole() {
    let (mut peer, mut gate) = gate(64).await;
    let (start, end) = GET.split_at(9);
    peer.write_all(start).await.unwrap();
    assert!(timeout(9 * SECOND, gate.read_u8()).await.is_err());
    peer.write_all(end).await.unwrap();
    peer.write_all(start).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
    answer(&mut gate, b"x").await;
    assert!(timeout(9 * SECOND, gate.read_u8()).await.is_err());
    peer.write_all(end).await.unwrap();
    let mut small = [0; 24];
    let mut whole = Vec::new();
    while whole.len() < GET.len() {
        let length = gate.read(&mut small).await.unwrap();
        whole.extend_from_slice(&small[..length]);
    }
    assert_eq!(whole, GET);
    assert!(gate.held.is_empty() && gate.held.capacity() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_early_waits_for_the_answer_to_the_one_before() {
    let (mut peer, mut gate) = gate(64 << 10).await;
    peer.write_all(&GET.repeat(1000)).await.unwrap();
    for _ in 0..1000 {
        assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
        assert!(timeout(SECOND, gate.read_u8()).await.is_err());
        assert!(gate.held.len() < AHEAD_BYTES_MAX + PIECE_BYTES, "it takes in what it likes");
        answer(&mut gate, b"x").await;
    }
    assert_eq!(after(&mut gate).await, (30, String::new()));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_answer_is_none_to_the_next_request() {
    let (mut peer, mut gate) = gate(4096).await;
    peer.write_all(&GET.repeat(2)).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
    gate.write_all(b"x").await.unwrap();
    assert!(timeout(SECOND, gate.read_u8()).await.is_err(), "it may not be whole");
    answer(&mut gate, b"x").await;
    assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET);
    assert!(timeout(31 * SECOND, gate.read_u8()).await.is_err(), "it is in flight");
    answer(&mut gate, b"x").await;
    assert_eq!(after(&mut gate).await, (30, String::new()));
}

/// hyper reads ahead while it writes, and not again afterwards.
#[tokio::test(start_paused = true)]
async fn silence_is_noticed_by_one_who_last_read_while_the_request_was_in_flight() {
    for early in [&b""[..], b"GET /", GET] {
        let (mut peer, mut gate) = gate(4096).await;
        peer.write_all(&[GET, early].concat()).await.unwrap();
        read(&mut gate).await.unwrap();
        let mut is_woken = false;
        let woken = poll_fn(|context| {
            if std::mem::replace(&mut is_woken, true) {
                return Poll::Ready(());
            }
            let mut bytes = [0; 8];
            let mut buffer = ReadBuf::new(&mut bytes);
            assert!(Pin::new(&mut gate).poll_read(context, &mut buffer).is_pending());
            assert!(Pin::new(&mut gate).poll_write(context, b"x").is_ready());
            assert!(Pin::new(&mut gate).poll_flush(context).is_ready());
            Poll::Pending
        });
        timeout(31 * SECOND, woken).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_gives_way_to_a_request_that_says_so() {
    for (head, path, reason) in [
        ("GET /x HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "/", "malformed"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "/", "malformed"),
        ("REFUSED / HTTP/1.1\r\n\r\n", "/", "malformed"),
        ("POST /token?a HTTP/1.1\r\nContent-Length: x\r\n\r\n", "/token", "ambiguous"),
    ] {
        let (mut peer, mut gate) = gate(4096).await;
        peer.write_all(&[GET, head.as_bytes(), GET].concat()).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap().as_bytes(), GET, "what came before is served");
        assert!(timeout(SECOND, gate.read_u8()).await.is_err(), "and answered");
        answer(&mut gate, b"x").await;
        is_refusal(&read(&mut gate).await.unwrap(), path, reason);
        peer.write_all(GET).await.unwrap();
        assert!(timeout(SECOND, gate.read_u8()).await.is_err(), "nothing more is read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_followed_ends_the_reading() {
    let (mut peer, mut gate) = gate(4096).await;
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.write_all(format!("{head}2\r\nab\r\nx").as_bytes()).await.unwrap();
    peer.write_all(GET).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), format!("{head}2\r\nab\r\n"));
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_hung_up_on_after_thirty_seconds() {
    let (mut peer, mut gate) = gate(64).await;
    gate.write_all(&[0; 64]).await.unwrap();
    assert!(timeout(29 * SECOND, gate.write_u8(0)).await.is_err());
    // One that takes a little is waited for again.
    peer.read_u8().await.unwrap();
    gate.write_u8(0).await.unwrap();
    peer.write_all(b"G").await.unwrap();
    let began = Instant::now();
    let error = gate.write_u8(0).await.unwrap_err();
    assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
}

#[tokio::test(start_paused = true)]
async fn whoever_must_go_is_told_while_reading_or_writing_and_not_with_a_request_in_flight() {
    let seats = Seats::new(1);
    let (mut peer, ours) = duplex(64);
    let mut gate = Gate::new(ours, seats.take().await.unwrap());
    peer.write_all(GET).await.unwrap();
    read(&mut gate).await.unwrap();
    assert!(seats.take().await.is_none());
    answer(&mut gate, &[0; 64]).await;
    let (seat, ended) = tokio::join!(seats.take(), async move { gate.write_u8(0).await });
    assert!(ended.is_err());
    let (_peer, ours) = duplex(64);
    let mut gate = Gate::new(ours, seat.unwrap());
    let (seat, ended) = tokio::join!(seats.take(), async move { after(&mut gate).await });
    assert!(ended == (0, String::new()) && seat.is_some());
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_what_still_comes_is_taken_for_a_while() {
    let (mut peer, mut gate) = gate(64).await;
    peer.write_all(b"\0").await.unwrap();
    is_refusal(&read(&mut gate).await.unwrap(), "/", "malformed");
    let began = Instant::now();
    let flood = async {
        while peer.write_all(&[0; 64]).await.is_ok() && began.elapsed() < SECOND {
            tokio::time::sleep(SECOND / 10).await;
        }
    };
    let (ended, ()) = tokio::join!(gate.shutdown(), flood);
    ended.unwrap();
    assert_eq!(began.elapsed(), LINGER);
    let (_peer, mut gate) = self::gate(64).await;
    gate.shutdown().await.unwrap();
    assert_eq!(began.elapsed(), LINGER, "nothing is waited for otherwise");
}
