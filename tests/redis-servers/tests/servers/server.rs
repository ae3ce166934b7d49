//! One server.
//!
//! It needs Redis: `cargo xtask test redis` installs and uses it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wirehub_test_redis::{Append, Options, RedisServer, Reply, until};

/// The environment variable for the test that is killed.
const TO_BE_KILLED: &str = "WIREHUB_TEST_IS_TO_BE_KILLED";

async fn server(append: Append) -> RedisServer {
    RedisServer::start(Options { append, ..Options::default() }).await
}

fn runs(id: u32) -> bool {
    let id = Pid::from_raw(id.cast_signed()).unwrap();
    test_kill_process(id).is_ok()
}

/// The first bytes of the reply to an inline command over TCP.
async fn over_tcp(server: &RedisServer, command: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn it_is_ready_and_ends_with_its_value() {
    let server = server(Append::Off).await;
    assert_eq!(over_tcp(&server, "PING").await, "+PONG\r\n");
    assert_eq!(server.url(), format!("redis://{}", server.address()));
    let (id, folder) = (server.id().unwrap(), server.socket().parent().unwrap().to_owned());
    assert!(runs(id) && folder.exists());
    server.pause();
    drop(server);
    assert!(!runs(id) && !folder.exists());
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn replies_have_their_types() {
    let server = server(Append::Off).await;
    assert_eq!(server.cli(&["SET", "a", "1"]).await, "OK");
    assert_eq!(server.reply(&["INCR", "a"]).await, Reply::Number(2));
    assert_eq!(server.reply(&["GET", "none"]).await, Reply::Nil);
    server.cli(&["RPUSH", "list", "x", "y\r\nz"]).await;
    assert_eq!(server.cli(&["LRANGE", "list", "0", "-1"]).await, "x\ny\r\nz");
    assert!(
        matches!(server.reply(&["LPUSH", "a", "x"]).await, Reply::Error(reason) if reason.starts_with("WRONGTYPE"))
    );
    assert_eq!(server.info("role").await.as_deref(), Some("master"));
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_killed_one_comes_back_at_its_address_with_the_content_of_its_append_only_file() {
    for (append, expected) in [(Append::Always, "1"), (Append::Off, "")] {
        let server = server(append).await;
        let address = server.address();
        server.cli(&["SET", "a", "1"]).await;
        server.kill();
        assert_eq!(server.id(), None);
        TcpStream::connect(address).await.unwrap_err();
        server.restart().await;
        assert_eq!(server.address(), address);
        assert_eq!(server.cli(&["GET", "a"]).await, expected, "{append:?}");
    }
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_terminated_one_has_written_everything() {
    let server = server(Append::EverySecond).await;
    server.cli(&["SET", "a", "1"]).await;
    server.terminate().await;
    assert_eq!(server.id(), None);
    server.restart().await;
    server.restart().await;
    assert_eq!(server.cli(&["GET", "a"]).await, "1");
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_paused_one_keeps_connections_and_answers_when_it_is_resumed() {
    let server = server(Append::Off).await;
    server.pause();
    let mut asked = Box::pin(over_tcp(&server, "PING"));
    timeout(Duration::from_millis(50), &mut asked).await.unwrap_err();
    server.resume();
    assert_eq!(asked.await, "+PONG\r\n");
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn users_have_their_passwords_and_rights() {
    let options = Options {
        password: Some("secret".into()),
        users: vec!["ann on >hers ~own:* +@all -flushall".into()],
        eviction: Some(("10mb".into(), "allkeys-lru".into())),
        ..Options::default()
    };
    let server = RedisServer::start(options).await;
    assert_eq!(server.url(), format!("redis://:secret@{}", server.address()));
    assert!(over_tcp(&server, "PING").await.starts_with("-NOAUTH"));
    assert_eq!(over_tcp(&server, "AUTH secret").await, "+OK\r\n");
    assert_eq!(over_tcp(&server, "AUTH ann hers").await, "+OK\r\n");
    let rights = server.cli(&["ACL", "GETUSER", "ann"]).await;
    // Redis 6.2 lists the patterns of keys without their sign.
    assert!(rights.contains("-flushall") && rights.contains("own:*"), "{rights}");
    assert_eq!(server.cli(&["CONFIG", "GET", "maxmemory-policy"]).await, "maxmemory-policy\nallkeys-lru");
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn its_port_is_for_tls_if_it_is_to_be() {
    let server = RedisServer::start(Options { tls: true, ..Options::default() }).await;
    assert_eq!(server.url(), format!("rediss://{}", server.address()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.certificate().unwrap().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    for name in ["localhost", "127.0.0.1"] {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut stream = tls.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        stream.write_all(b"PING\r\n").await.unwrap();
        let mut pong = [0; 7];
        stream.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"+PONG\r\n");
    }
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn scripts_are_forgotten() {
    let server = server(Append::Off).await;
    let hash = server.cli(&["SCRIPT", "LOAD", "return 1"]).await;
    assert_eq!(server.reply(&["EVALSHA", &hash, "0"]).await, Reply::Number(1));
    server.flush_scripts().await;
    let reply = server.reply(&["EVALSHA", &hash, "0"]).await;
    assert!(matches!(&reply, Reply::Error(reason) if reason.starts_with("NOSCRIPT")), "{reply:?}");
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
#[should_panic(expected = "redis-server has ended")]
async fn a_wrong_configuration_is_reported_with_its_log() {
    let config = vec!["nonsense 1".to_owned()];
    RedisServer::start(Options { config, ..Options::default() }).await;
}

/// The process of [`nothing_outlives_a_killed_test`].
#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_test_that_is_killed() {
    if env::var_os(TO_BE_KILLED).is_some() {
        let server = server(Append::Off).await;
        println!("\nserver {} {}", server.id().unwrap(), server.socket().display());
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn nothing_outlives_a_killed_test() {
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["server::a_test_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(TO_BE_KILLED, "1");
    let mut test = test.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| Some(line.unwrap().strip_prefix("server ")?.to_owned())).unwrap();
    let (id, socket) = line.split_once(' ').unwrap();
    let id = id.parse().unwrap();
    assert!(runs(id));
    test.kill().unwrap();
    test.wait().unwrap();
    let folder = std::path::Path::new(socket).parent().unwrap();
    until("the end of the server", async || {
        if runs(id) || folder.exists() { Err("it is still there") } else { Ok(()) }
    })
    .await;
}
