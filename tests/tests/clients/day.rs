//! A day in the life of a server. Everything is real, from its configuration to its last connection.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wirehub_client::{Address, Client, ClientState, Config, Error, Gap, Subscription, Update};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::{ChannelName, Payload};
use wirehub_tests::{next, publication, soon};

const API_KEY: &str = "fedcba9876543210fedcba9876543210";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
metrics = true
[limits]
reconnect_window = "100ms"
[tls]
certificate = "cert.pem"
key = "key.pem"
[[api.keys]]
file = "api.key"
[tokens]
audience = "the day"
leeway = "0s"
grace = "1s"
[[tokens.keys]]
algorithm = "HS256"
file = "token.key"
[namespace.chat]
history_size = 1000
history_ttl = "1h"
publish = "token-only"
"#;

fn wirehub(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehub-under-test"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = wirehub(arguments).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

/// A server as a process, killed if the test fails.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(config: &str, more: &[&str]) -> Self {
        let mut child = wirehub(&[&["serve", "--config", config], more].concat()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on https://").unwrap().parse().unwrap();
        Self { child, address }
    }

    /// The end of a process in a deploy.
    fn stop(mut self) -> SocketAddr {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A person with a terminal open all day.
struct Terminal {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn subscribe(address: &SocketAddr, authority: &str, token: &str) -> Self {
        let url = format!("wss://localhost:{}/ws", address.port());
        let mut command = wirehub(&["sub", "--ca", authority, "--token-file", token, &url, "chat:day"]);
        // Its messages during the deploy are for people.
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next message on the terminal.
    fn next(&mut self) -> String {
        let line = self.lines.next().unwrap().unwrap();
        line.strip_prefix("chat:day\t").unwrap().to_owned()
    }

    fn interrupt(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A backend in any language: it speaks HTTP.
struct Backend {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Backend {
    fn new(address: SocketAddr, pem: &[u8]) -> Self {
        use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Self { address, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// The status and the body; `None` if the server is down.
    async fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.tls.connect(name, stream).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.ok()?;
        let response = String::from_utf8(response).ok()?;
        let status = response.split(' ').nth(1)?.parse().ok()?;
        Some((status, response))
    }

    /// Publishes, again and again with the same key until the server confirms it.
    async fn publish(&self, number: usize) {
        let body = format!(r#"{{"channel":"chat:day","data":{number},"key":"message-{number}"}}"#);
        while self.request("POST", "/api/v1/publish", &body).await.is_none_or(|(status, _)| status != 200) {
            tokio::task::yield_now().await;
        }
    }
}

/// A person with a page open all day, whose tokens are valid for two seconds.
fn listener(address: &Address, config: &Path, asked: &Arc<AtomicUsize>) -> (Client, Subscription<Payload>) {
    let (config, asked) = (config.to_str().unwrap().to_owned(), Arc::clone(asked));
    let client = wirehub_client::client_with_tokens(address.clone(), Config::default(), move || {
        asked.fetch_add(1, Ordering::SeqCst);
        let config = config.clone();
        async move {
            let made = tokio::task::spawn_blocking(move || {
                done(&["token", "--config", &config, "--user", "ann", "--ttl", "2s"])
            });
            made.await.map_err(Error::token_unavailable)
        }
    });
    let subscription = client.subscribe_raw(ChannelName::new("chat:day").unwrap()).unwrap();
    (client, subscription)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_with_a_deploy_in_the_middle_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let config = path("wirehub.toml");

    // In the morning: a configuration, a certificate, keys.
    done(&["config", "init", &text(&config)]);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(path("api.key"), API_KEY).unwrap();
    fs::write(path("token.key"), "0123456789abcdef0123456789abcdef").unwrap();
    fs::write(&config, CONFIG).unwrap();
    done(&["config", "check", &text(&config)]);

    let server = Server::start(&text(&config), &[]);
    let address = Address::parse(&format!("wss://localhost:{}/ws", server.address.port())).unwrap();
    let address = address.with_root_certificates(made.cert.pem().as_bytes()).unwrap();
    let backend = Backend::new(server.address, made.cert.pem().as_bytes());
    let asked = Arc::new(AtomicUsize::new(0));
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let (client, mut subscription) = listener(&address, &config, &asked);
        soon(client.connect()).await.unwrap();
        soon(subscription.ready()).await.unwrap();
        listeners.push((client, subscription));
    }
    fs::write(path("bob.token"), done(&["token", "--config", &text(&config), "--user", "bob"])).unwrap();
    let mut terminal =
        Terminal::subscribe(&server.address, &text(&path("cert.pem")), &text(&path("bob.token")));
    let present = async || backend.request("GET", "/api/v1/channels/chat:day/presence", "").await.unwrap().1;
    soon(async { while !present().await.contains("bob") {} }).await;
    // A token without the right to publish can't publish.
    let refused = listeners[0].0.publish_raw(ChannelName::new("chat:day").unwrap(), Payload::json("0")).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::PERMISSION_DENIED);

    // All day: messages, until the last token of each listener has been replaced more than once.
    let deployed = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (asked, deployed) = (Arc::clone(&asked), Arc::clone(&deployed));
        tokio::spawn(async move {
            let mut number = 0;
            while !deployed.load(Ordering::SeqCst) || asked.load(Ordering::SeqCst) < 12 || number < 100 {
                backend.publish(number).await;
                number += 1;
                // The rate of an ordinary day, because the messages are not read until the evening.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (backend, number)
        })
    };

    // At noon: a deploy.
    for (_, subscription) in &mut listeners {
        for number in 0..20 {
            assert_eq!(publication(subscription).await.message, Payload::json(number.to_string()));
        }
    }
    let stopped = server.stop();
    let server = Server::start(&text(&config), &["--listen", &stopped.to_string()]);
    deployed.store(true, Ordering::SeqCst);

    // In the evening every listener has seen every message, once and in order. The loss of the old server's history is
    // reported.
    let (backend, published) = soon(publishing).await.unwrap();
    for (_, subscription) in &mut listeners {
        let mut expected = 20;
        while expected < published {
            match next(subscription).await.unwrap() {
                Update::Publication(publication) => {
                    assert_eq!(publication.message, Payload::json(expected.to_string()));
                    expected += 1;
                }
                update => assert_eq!(update.gap(), Some(Gap::Lost)),
            }
        }
    }

    let watched = tokio::task::spawn_blocking(move || {
        for expected in 0..published {
            assert_eq!(terminal.next(), expected.to_string());
        }
        terminal
    });
    let mut terminal = soon(watched).await.unwrap();

    // An operator reads the metrics, and disconnects an offender.
    let (status, metrics) = backend.request("GET", "/metrics", "").await.unwrap();
    assert_eq!(status, 200);
    assert!(metrics.contains("wirehub_sessions 4"), "{metrics}");
    let (offender, _subscription) = listeners.remove(0);
    let mut changes = offender.state_changes();
    let path = format!("/api/v1/sessions/{}/disconnect", offender.session());
    let (status, _) = backend.request("POST", &path, r#"{"reason":"enough"}"#).await.unwrap();
    assert_eq!(status, 204);
    let change = next(&mut changes).await;
    assert_eq!((change.state, change.code), (ClientState::Closed, Some(CloseCode::DISCONNECTED)));
    backend.publish(published).await;
    for (_, subscription) in &mut listeners {
        assert_eq!(publication(subscription).await.message, Payload::json(published.to_string()));
    }
    assert_eq!(terminal.next(), published.to_string());
    terminal.interrupt();
    drop(listeners);
    server.stop();
}
