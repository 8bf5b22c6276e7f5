//! How it ends: in an orderly way at the first signal, at once at the second.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::{Server, Workplace};

const BODY: &str = r#"{"username":"alice","password":"correct horse battery"}"#;

/// A registration whose body is still to come; the server is known to wait for it.
pub fn begin_registration(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let length = BODY.len();
    write!(
        stream,
        "POST /auth/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    stream
}

/// The first signal, and the proof that it has been heeded.
fn begin_end(server: &Server) {
    server.signal(Signal::TERM);
    server.await_line("graceful shutdown");
}

#[test]
fn either_signal_ends_it_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let workplace = Workplace::new();
        let server = workplace.serve();
        server.signal(signal);
        let ended = server.wait();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_request_in_flight_is_finished_first() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let address = server.address();
    let mut stream = begin_registration(&server);
    begin_end(&server);
    stream.write_all(BODY.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 201 Created"), "{answer}");
    assert_eq!(server.wait().status, Some(0));
    assert!(TcpStream::connect(address).is_err(), "somebody still listens");
    assert!(workplace.run(&["users", "show", "alice"]).output().contains("alice"));
}

#[test]
fn a_request_that_does_not_finish_is_given_up_after_the_shutdown_timeout() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[server]\nshutdown_timeout = '1s'\n");
    let server = workplace.serve();
    let _stalled = begin_registration(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().status, Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[server]\nshutdown_timeout = '5m'\n");
    let server = workplace.serve();
    let _stalled = begin_registration(&server);
    begin_end(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().status, Some(1));
    workplace.serve().stop();
}
