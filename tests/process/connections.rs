//! What a client's connection goes through, seen from the socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Workplace;

const PROBE: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: keystile\r\n\r\n";

/// Reads one answer of less than a buffer.
fn answer(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_refusal_ahead_of_its_body_leaves_the_connection_usable() {
    let server = Workplace::new().serve();
    let head = "PATCH /users/me HTTP/1.1\r\nHost: keystile\r\nAuthorization: Bearer a.b.c\r\n\
                Content-Type: application/json\r\n";
    let framings = [
        ("Content-Length: 2\r\n\r\n", "{}"),
        ("Transfer-Encoding: chunked\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"),
    ];
    for (framing, body) in framings {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(format!("{head}{framing}").as_bytes()).unwrap();
        // The head has arrived once a second connection has had its answer.
        let mut other = TcpStream::connect(server.address()).unwrap();
        other.write_all(PROBE).unwrap();
        assert!(answer(&mut other).starts_with("HTTP/1.1 200"));
        stream.write_all(body.as_bytes()).unwrap();
        assert!(answer(&mut stream).starts_with("HTTP/1.1 401"), "{framing}");
        stream.write_all(PROBE).unwrap();
        assert!(answer(&mut stream).starts_with("HTTP/1.1 200"), "{framing}");
    }
}

#[test]
fn a_body_too_large_ends_the_connection() {
    let server = Workplace::new().serve();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /posts HTTP/1.1\r\nHost: keystile\r\nContent-Length: 67108864\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let refusal = answer(&mut stream);
    assert!(refusal.starts_with("HTTP/1.1 413") && refusal.contains("connection: close"));
}
