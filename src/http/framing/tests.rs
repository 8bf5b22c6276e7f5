//! Goal: whatever could be understood in two ways is refused, whole or in pieces, and nothing else is.

use proptest::prelude::*;

use super::*;

/// The verdict on `bytes`, request by request.
fn follow(framing: &mut Framing, bytes: &[u8]) -> Admitted {
    let mut total = 0;
    loop {
        let Admitted { bytes, refusal } = framing.admit(&bytes[total..]);
        total += bytes;
        if bytes == 0 || refusal.is_some() {
            return Admitted { bytes: total, refusal };
        }
    }
}

/// The verdict on `bytes` shown at once.
fn admit(bytes: &[u8]) -> Admitted {
    follow(&mut Framing::default(), bytes)
}

#[track_caller]
fn passes(text: &str) {
    assert_eq!(admit(text.as_bytes()), Admitted { bytes: text.len(), refusal: None }, "{text:?}");
}

#[track_caller]
fn refused(text: &str, refusal: Refusal) {
    assert_eq!(admit(text.as_bytes()), Admitted { bytes: 0, refusal: Some(refusal) }, "{text:?}");
}

/// A POST with these fields.
fn post(fields: &str) -> String {
    format!("POST /token HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

const NEXT: &str = "GET /users/me?a=%2F HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn whole_requests_pass_with_what_follows_them() {
    for first in [
        NEXT.to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "BREW /{pot}|\"x\" HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        post("Content-Length: 0\r\n"),
        post("content-length: 3\r\n") + "a\r\n",
        post("CONTENT-LENGTH: 03\r\nContent-Length: 3\r\n") + "abc",
        post("Transfer-Encoding: Chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
        post("transfer-encoding: chunked \r\n")
            + "0a \t;x=\"y\"\r\n0123456789\r\n00\r\nA: b\r\nC: d\r\n\r\n",
    ] {
        passes(&(first + NEXT));
    }
}

#[test]
fn a_length_that_is_none_or_comes_twice_is_refused() {
    for length in ["", "+1", "-1", "1 2", "0x1", "1,1", "1, 1", "18446744073709551616", "\u{661}"] {
        refused(&post(&format!("Content-Length: {length}\r\n")), Refusal::Ambiguous);
    }
    refused(&post("Content-Length: 1\r\nContent-Length: 2\r\n"), Refusal::Ambiguous);
    refused(
        &post("Content-Length: 1\r\ncontent-length: 1\r\nCONTENT-LENGTH: 2\r\n"),
        Refusal::Ambiguous,
    );
    refused(&post("Content-Length: 18446744073709551615\r\n"), Refusal::Ambiguous);
}

#[test]
fn a_length_beside_a_coding_is_refused_in_either_order() {
    for length in ["0", "1", "5"] {
        for pair in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            refused(&post(&pair), Refusal::Ambiguous);
        }
    }
}

#[test]
fn a_coding_that_is_not_chunked_alone_is_refused() {
    for coding in [
        "",
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, gzip",
        "xchunked",
        "\u{b}chunked",
        "chunked;q=1",
        "\"chunked\"",
    ] {
        let is_field = !coding.contains('\u{b}');
        let refusal = if is_field { Refusal::Ambiguous } else { Refusal::Malformed };
        refused(&post(&format!("Transfer-Encoding: {coding}\r\n")), refusal);
    }
    refused(
        &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::Ambiguous,
    );
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Ambiguous);
}

#[test]
fn what_is_no_request_of_http_1_is_refused() {
    for head in [
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET a/b HTTP/1.1\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "GET /<a> HTTP/1.1\r\n\r\n",
        "G@T / HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
        "REFUSED / HTTP/1.1\r\nreason: late\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "\r\n\r\nGET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "\nGET / HTTP/1.1\r\n\r\n",
    ] {
        refused(head, Refusal::Malformed);
    }
}

#[test]
fn a_head_is_as_large_as_it_may_be_and_no_larger() {
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(length - 1));
    passes(&target(TARGET_BYTES_MAX));
    refused(&target(TARGET_BYTES_MAX + 1), Refusal::TargetTooLong);
    refused(&target(64 * 1024), Refusal::TargetTooLong);
    let start = "GET / HTTP/1.1\r\nA: ";
    let padded = |length: usize| format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4));
    passes(&padded(HEAD_BYTES_MAX));
    refused(&padded(HEAD_BYTES_MAX + 1), Refusal::TooLarge);
    refused(&padded(HEAD_BYTES_MAX + 1)[..=HEAD_BYTES_MAX], Refusal::TooLarge);
    let many = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    passes(&many(FIELDS_MAX));
    refused(&many(FIELDS_MAX + 1), Refusal::TooLarge);
}

#[test]
fn a_chunked_body_that_cannot_be_followed_is_lost() {
    for body in [
        "\r\n",
        ";\r\n",
        " 1\r\n",
        "x\r\n",
        "1\n",
        "1 1\r\n",
        "1;a\nb\r\n",
        "1\r\naa",
        "1\r\na\n",
        "1\r\na\rx",
        "10000000000000000\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\rx",
        "0\r\n\rx",
        "-1\r\n",
        "0x1\r\n",
    ] {
        let mut framing = Framing::default();
        let text = post("Transfer-Encoding: chunked\r\n") + body + NEXT;
        let admitted = follow(&mut framing, text.as_bytes());
        assert!(framing.is_lost() && !framing.is_between(), "{body:?}");
        assert!(
            admitted.bytes < text.len() - NEXT.len() + 2 && admitted.refusal.is_none(),
            "{body:?}"
        );
        assert_eq!(framing.admit(NEXT.as_bytes()).bytes, 0);
    }
}

#[test]
fn one_request_is_admitted_at_a_time() {
    let body = post("Content-Length: 5\r\n") + "hello";
    let text = body.clone() + NEXT + NEXT;
    let mut framing = Framing::default();
    assert_eq!(framing.admit(text.as_bytes()).bytes, body.len());
    assert_eq!(framing.admit(&text.as_bytes()[body.len()..]).bytes, NEXT.len());
}

#[test]
fn an_unfinished_head_waits_and_is_looked_at_again_with_the_rest() {
    let mut framing = Framing::default();
    let waits = Admitted { bytes: 0, refusal: None };
    for end in 0..NEXT.len() {
        assert_eq!(framing.admit(&NEXT.as_bytes()[..end]), waits);
        assert!(framing.is_between());
    }
    assert_eq!(framing.admit(NEXT.as_bytes()).bytes, NEXT.len());
}

#[test]
fn every_refusal_is_known_again_by_its_name() {
    for (name, refusal) in Refusal::ALL {
        assert_eq!(Refusal::named(name), refusal);
        let stand_in = String::from_utf8(refusal.stand_in("/token")).unwrap();
        assert!(stand_in.starts_with("REFUSED /token HTTP/1.1\r\n"));
        assert!(
            stand_in.contains(&format!("reason: {name}\r\n")) && stand_in.ends_with("\r\n\r\n")
        );
    }
}

/// Shows `bytes` cut at `cuts`, as a gate does: what was not admitted is shown again with what follows.
fn admit_cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> (Admitted, Framing) {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let (mut framing, mut total) = (Framing::default(), 0);
    for end in ends {
        let Admitted { bytes, refusal } = follow(&mut framing, &bytes[total..end]);
        total += bytes;
        if refusal.is_some() || framing.is_lost() {
            return (Admitted { bytes: total, refusal }, framing);
        }
    }
    (Admitted { bytes: total, refusal: None }, framing)
}

/// Pieces that requests are made of, good and bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        NEXT,
        "GET / HTTP/1.1\r\n",
        "POST /token HTTP/1.1\r\n",
        "POST / HTTP/1.0\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "A: b\r\n",
        " c\r\n",
        "A : b\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "5;x\r\n",
        "hello",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0",
        "REFUSED / HTTP/1.1\r\n\r\n",
    ];
    prop_oneof![
        8 => prop::sample::select(texts.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => (0_usize..40_000).prop_map(|length| vec![b'a'; length]),
    ]
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_verdict_is_the_same(
        pieces in prop::collection::vec(piece(), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        // The end of a head, wherever it stands, so that no verdict is still to come.
        let bytes = [pieces.concat(), b"\r\n\r\n".to_vec()].concat();
        let mut whole = Framing::default();
        let admitted = follow(&mut whole, &bytes);
        let (cut, framing) = admit_cut(&bytes, &cuts);
        prop_assert_eq!(cut, admitted);
        prop_assert_eq!(framing.part, whole.part);
    }

    #[test]
    fn what_is_admitted_has_one_meaning_for_the_parser_and_one_framing(
        pieces in prop::collection::vec(piece(), 1..12),
    ) {
        let bytes = pieces.concat();
        let Admitted { bytes: admitted, refusal } = admit(&bytes);
        prop_assert!(admitted <= bytes.len());
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        if admitted > 0 {
            let Ok(Status::Complete(length)) = request.parse(&bytes[..admitted]) else {
                return Err(TestCaseError::fail("no whole head is admitted"));
            };
            let lines = bytes[..length].split(|byte| *byte == b'\n');
            prop_assert!(lines.rev().skip(1).all(|line| line.ends_with(b"\r")));
            let count = |name: &str| {
                request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
            };
            prop_assert!(count("transfer-encoding") == 0 || count("content-length") == 0);
            prop_assert!(count("transfer-encoding") <= 1);
        } else {
            prop_assert!(refusal.is_some() || bytes.len() <= HEAD_BYTES_MAX);
        }
    }
}
