//! Requests that are wrong on purpose.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kiln::wire::{MAX_JSON, MAX_TABLES};

use super::client::read_answer;
use super::fixture::{batch, enrol, image};
use super::service::Service;

#[test]
fn bodies_of_every_wrong_kind_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let agent = service.with(&enrol(&service, &web).identity);
    let operator = service.as_operator();
    let good = serde_json::to_vec(&batch("boot-1", [1])).unwrap();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_value = format!(r#"{{"token":"a","csr":"b","facts":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let mut not_utf8 = good.clone();
    let at = not_utf8.windows(5).position(|w| w == b"nginx").unwrap();
    not_utf8[at] = 0xff;
    let bodies: Vec<&[u8]> = vec![
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"text\"",
        b"{}",
        b"\xff\xfe\x00",
        b"{\"a\":1e999}",
        &not_utf8,
        deep.as_bytes(),
        deep_value.as_bytes(),
        &good[..good.len() - 1],
    ];
    let everything: &[(&super::client::Client, &str)] = &[
        (&agent, "/v1/agent/violations"),
        (&agent, "/v1/agent/acks"),
        (&agent, "/v1/agent/renew"),
        (&operator, "/v1/images"),
        (&operator, "/v1/policies"),
        (&operator, "/v1/assignments"),
        (&operator, "/v1/instances/i-0/revoke"),
    ];
    for (client, path) in everything {
        for body in &bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            let answer = client.send("POST", path, "application/json", body).refusal();
            assert_eq!(answer, (400, "bad-json".into()), "{path} {shown}");
        }
        let answer = client.send("POST", path, "text/plain", &good).refusal();
        assert_eq!(answer, (415, "bad-media-type".into()), "{path}");
        let large = vec![b' '; MAX_JSON + 1];
        assert_eq!(client.send("POST", path, "application/json", &large).refusal(), (413, "body-too-large".into()));
    }
    for body in &bodies[..6] {
        assert_eq!(service.guest().send("POST", "/v1/enrol", "application/json", body).refusal().1, "bad-json");
    }
    let huge = vec![0; MAX_TABLES + 1];
    let path = format!("/v1/tables/{}", kiln::model::Digest::of(&huge));
    let answer = operator.send("PUT", &path, "application/vnd.kiln.tables", &huge);
    assert_eq!(answer.refusal(), (413, "body-too-large".into()));
    // Refused before the body is read: the reason arrives all the same.
    let answer = agent.send("PUT", &path, "application/vnd.kiln.tables", &huge);
    assert_eq!(answer.refusal(), (403, "wrong-role".into()));
    let answer = service.guest().send("POST", "/v1/images", "application/json", &vec![b' '; MAX_JSON]);
    assert_eq!(answer.refusal(), (401, "no-certificate".into()));
    assert_eq!(service.guest().get("/v1/health").status, 200);
}

#[test]
fn paths_and_methods_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let operator = service.as_operator();
    for path in ["/", "/v1", "/v2/state", "/v1/images/x/y/z", "/v1/../etc/passwd"] {
        assert_eq!(operator.get(path).refusal(), (404, "not-found".into()), "{path}");
    }
    for path in ["/v1/images/sha256:00", "/v1/tables/x", "/v1/images/%ff%fe", "/v1/images/%2e%2e"] {
        assert_eq!(operator.get(path).refusal(), (400, "bad-request".into()), "{path}");
    }
    let long = format!("/v1/instances/{}", "x".repeat(8000));
    assert_eq!(operator.get(&long).refusal(), (404, "not-found".into()));
    for method in ["DELETE", "PATCH", "PUT", "BREW"] {
        assert_eq!(operator.send(method, "/v1/state", "application/json", b"").refusal(), (405, "bad-method".into()));
    }
}

/// Sends raw bytes as a guest; gives the status line, or nothing where the connection just ended.
fn raw(service: &Service, bytes: &[u8]) -> String {
    let mut tls = service.guest().connect().unwrap();
    let _ = tls.get_mut().write_all(bytes);
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn broken_http_ends_the_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let headers = |n: usize| (0..n).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let many = format!("GET /v1/health HTTP/1.1\r\nhost: a\r\n{}\r\n", headers(100));
    assert!(raw(&service, many.as_bytes()).contains("431"));
    let long = format!("GET /v1/health HTTP/1.1\r\nhost: {}\r\n\r\n", "a".repeat(20_000));
    assert!(raw(&service, long.as_bytes()).contains("431"));
    for bytes in
        [&b"\x00\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let status = raw(&service, bytes);
        assert!(status.is_empty() || status.contains(" 4") || status.contains(" 5"), "{status}");
    }
    let both = b"POST /v1/enrol HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n";
    assert!(raw(&service, both).contains(" 400"));
    let bad_chunk = b"POST /v1/enrol HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n";
    assert!(raw(&service, bad_chunk).contains(" 400"));
    // A body that breaks off: nothing of it counts, and the connection just ends.
    let cut = b"POST /v1/enrol HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"token\":";
    let mut tls = service.guest().connect().unwrap();
    tls.get_mut().write_all(cut).unwrap();
    tls.get_mut().conn.send_close_notify();
    tls.get_mut().flush().unwrap();
    tls.get_mut().sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = tls.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
    // No TLS at all.
    let mut tcp = TcpStream::connect(service.address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp.write_all(b"GET /v1/health HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200"));
    assert_eq!(service.guest().get("/v1/health").status, 200);
}

#[test]
fn one_connection_serves_many_requests() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let mut tls = service.guest().connect().unwrap();
    for _ in 0..50 {
        tls.get_mut().write_all(b"GET /v1/health HTTP/1.1\r\nhost: pos\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut tls).unwrap().status, 200);
    }
}

#[test]
fn clients_that_dawdle_do_not_keep_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let web = image(&service, "web");
    let agent = service.with(&enrol(&service, &web).identity);
    // As many as one address may have without a certificate: half never shake hands, half never end their headers.
    let silent: Vec<_> = (0..64).map(|_| TcpStream::connect(service.address).unwrap()).collect();
    let half: Vec<_> = (0..63)
        .map(|_| {
            let mut tls = service.guest().connect().unwrap();
            tls.get_mut().write_all(b"POST /v1/enrol HTTP/1.1\r\nhost: a\r\n").unwrap();
            tls
        })
        .collect();
    // One place is left, and a known client gives it back as soon as it is known.
    for _ in 0..10 {
        assert!(agent.get("/v1/agent/stream").refusal().0 == 400);
    }
    // Those that never shook hands are put out after ten seconds.
    for mut tcp in silent {
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(tcp.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    drop(half);
}
