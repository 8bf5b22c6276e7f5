//! A flood of requests, and what it leaves in the log.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::support::Workplace;

const CLIENTS: usize = 4;
const BATCHES: usize = 60;
/// Requests that are sent at once.
const BATCH: usize = 50;
/// How many lines of one kind are written in ten seconds.
const LINES_MAX: u64 = 10_000;

/// Asks for what is not there, again and again.
fn flood(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let batch = "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(BATCH);
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..BATCHES {
        stream.write_all(batch.as_bytes()).unwrap();
        let mut text = String::new();
        // The body of the last one may come with the next batch.
        while text.matches("HTTP/1.1 404").count() < BATCH || !text.ends_with('}') {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{text}");
            text.push_str(str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

#[test]
fn a123_of_a_flood_each_request_has_its_line_or_is_counted() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let (address, began) = (server.address(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || flood(address));
        }
    });
    let windows = 1 + began.elapsed().as_secs() / 10;
    let log = server.stop().stderr;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (mut written, mut left_out) = (0, 0);
    for line in lines {
        if line["status"] == 404 {
            written += 1;
        } else if line["level"] == "WARN" {
            left_out += line["lines"].as_u64().unwrap();
        }
    }
    let all = (CLIENTS * BATCHES * BATCH) as u64;
    assert_eq!(written + left_out, all, "{written} written");
    // In a window that is not over, the rest is counted.
    assert!(written <= LINES_MAX * (windows + 1), "{written} in {windows}");
    assert!(left_out > 0 || windows > 1, "{windows}");
}
