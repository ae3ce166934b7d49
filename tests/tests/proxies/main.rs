//! Servers behind real proxies, with the configurations in `server/deploy/`: one alone, and three that share a Redis.
//!
//! They need nginx, HAProxy and Redis: `cargo xtask test proxies` installs and runs them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod fleet;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use wirehub_client::{Address, Client, ClientState, Config, Gap};
use wirehub_common::code::CloseCode;
use wirehub_common::{ChannelName, Payload};
use wirehub_tests::{gap, next, publication, soon};

/// A program that is killed when its test is over.
struct Running(Child);

impl Running {
    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy with a certificate of its own.
struct Proxy {
    // Ends before its folder.
    running: Running,
    folder: tempfile::TempDir,
    port: u16,
    certificate: String,
}

/// Turns a configuration in `server/deploy/` into a proxy that runs in a folder, and listens on a port.
type Start = fn(folder: &Path, shipped: &str, port: u16) -> Command;

impl Proxy {
    /// Starts a proxy before these servers, in place of those in the configuration.
    async fn start(configuration: &str, start: Start, servers: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        write("fullchain.pem", &certificate);
        write("privkey.pem", &key);
        write("wirehub.pem", &format!("{certificate}{key}"));
        let mut config = shipped(configuration).replace("/etc/wirehub", folder.path().to_str().unwrap());
        for (shipped, server) in servers {
            config = replaced(&config, shipped, &server.to_string());
        }
        let port = free_port();
        let mut command = start(folder.path(), &config, port);
        let log = fs::File::create(folder.path().join("proxy.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let running = Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let mut proxy = Self { running, folder, port, certificate };
        proxy.listens().await;
        proxy
    }

    async fn listens(&mut self) {
        let listens = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
                if let Some(status) = self.running.0.try_wait().unwrap() {
                    let log = fs::read_to_string(self.folder.path().join("proxy.log")).unwrap();
                    panic!("the proxy has ended, {status}: {log}");
                }
                tokio::task::yield_now().await;
            }
        };
        soon(listens).await;
    }

    /// An encrypted connection to the proxy, from one of this machine's own addresses.
    async fn connection(&self, from: Ipv4Addr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = soon(socket.connect((Ipv4Addr::LOCALHOST, self.port).into())).await.unwrap();
        soon(tls.connect(ServerName::try_from("localhost").unwrap(), stream)).await.unwrap()
    }

    /// Opens a WebSocket from an address, with additional headers; or returns the status of the refusal.
    async fn open(
        &self,
        from: Ipv4Addr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, u16> {
        let mut request = format!("wss://localhost:{}{path}", self.port).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match soon(client_async(request, self.connection(from).await)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// A client that is not connected yet.
    fn client(&self, config: Config) -> Client {
        let address = Address::parse(&format!("wss://localhost:{}/ws", self.port)).unwrap();
        let trusting = address.with_root_certificates(self.certificate.as_bytes()).unwrap();
        wirehub_client::client(trusting, config)
    }
}

/// A server behind a proxy.
struct Setup {
    server: Running,
    address: SocketAddr,
    folder: tempfile::TempDir,
    proxy: Proxy,
}

impl Setup {
    async fn start(configuration: &str, start: Start) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = "[server]\nmetrics = true\n[proxy]\ntrusted = [\"127.0.0.1\"]\n\
             [limits]\nconnections_per_address = 1\nreconnect_window = \"100ms\"\n";
        fs::write(folder.path().join("wirehub.toml"), config).unwrap();
        let (server, address) = serve(folder.path(), "127.0.0.1:0");
        let proxy = Proxy::start(configuration, start, &[("127.0.0.1:8080", address)]).await;
        Self { server, address, folder, proxy }
    }

    /// Deploys: the server stops in order, and another one takes its place.
    async fn restart(&mut self, clients_see: impl AsyncFnOnce()) {
        self.server.signal("TERM");
        clients_see().await;
        assert!(self.server.0.wait().unwrap().success());
        let (server, address) = serve(self.folder.path(), &self.address.to_string());
        assert_eq!(address, self.address);
        self.server = server;
    }
}

fn serve(folder: &Path, listen: &str) -> (Running, SocketAddr) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_wirehub-under-test"));
    server.args(["serve", "--listen", listen, "--config"]).arg(folder.join("wirehub.toml"));
    let mut server = Running(server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
    (server, address)
}

/// A port that is free for now, because a proxy does not report the one it got.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Debian keeps servers in folders that are in root's path only.
fn program(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not on this machine: `cargo xtask setup --tests` installs it, or prints the steps")
    })
}

/// A file in `server/deploy/`.
fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/deploy").join(name);
    fs::read_to_string(path).unwrap()
}

fn nginx(folder: &Path, shipped: &str, port: u16) -> Command {
    let site = replaced(shipped, "listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"));
    fs::write(folder.join("site.conf"), site).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    let main = format!(
        "daemon off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}include site.conf;\n}}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, main).unwrap();
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(file);
    command
}

fn haproxy(folder: &Path, shipped: &str, port: u16) -> Command {
    let config = replaced(shipped, "bind :443 ssl", &format!("bind 127.0.0.1:{port} ssl"));
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(file);
    command
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the configuration any more");
    text.replace(from, to)
}

/// The checks behind each proxy.
async fn holds_behind(mut setup: Setup) {
    const ANN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const BOB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

    // A client that speaks Wirehub, over the proxy's TLS.
    let client = setup.proxy.client(Config::default());
    soon(client.connect()).await.unwrap();
    let channel = ChannelName::new("chat:lobby").unwrap();
    let mut heard = client.subscribe_raw(channel.clone()).unwrap();
    soon(heard.ready()).await.unwrap();
    soon(client.publish_raw(channel.clone(), Payload::json("1"))).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, Payload::json("1"));

    // Each client has its own address, and can't use another.
    let mut anns = setup.proxy.open(ANN, "/echo", &[]).await.unwrap();
    assert_eq!(setup.proxy.open(ANN, "/ws", &[]).await.err(), Some(429));
    assert_eq!(setup.proxy.open(ANN, "/ws", &[("x-forwarded-for", "127.0.0.99")]).await.err(), Some(429));
    // Large and empty messages, text and bytes, pass unchanged.
    for message in [Message::text("x".repeat(300_000)), Message::binary(vec![7; 70_000]), Message::text("")] {
        soon(futures_util::SinkExt::send(&mut anns, message.clone())).await.unwrap();
        assert_eq!(next(&mut anns).await.unwrap(), message);
    }

    // Pages of the proxy's own origin may connect, others may not.
    let own = format!("https://localhost:{}", setup.proxy.port);
    assert_eq!(setup.proxy.open(BOB, "/ws", &[("origin", "https://evil.example")]).await.err(), Some(403));
    drop(setup.proxy.open(BOB, "/ws", &[("origin", &own)]).await.unwrap());

    // Internal paths are not available.
    for path in ["/metrics", "/api/v1/sessions", "/admin"] {
        assert_eq!(setup.proxy.open(BOB, path, &[]).await.err(), Some(404), "{path}");
    }

    // It would not answer the close.
    drop(anns);

    // The server restarts behind the proxy. The client reconnects by itself, and is notified of the gap.
    let mut changes = client.state_changes();
    setup
        .restart(async || {
            let change = next(&mut changes).await;
            assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(CloseCode::SHUTDOWN)));
        })
        .await;
    while client.state() != ClientState::Connected {
        next(&mut changes).await;
    }
    assert_eq!(gap(&mut heard).await, Gap::NoHistory);
    soon(client.publish_raw(channel.clone(), Payload::json("2"))).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, Payload::json("2"));
}

#[tokio::test]
#[ignore = "it needs nginx: run `cargo xtask test proxies`"]
async fn clients_are_served_behind_nginx() {
    holds_behind(Setup::start("nginx.conf", nginx).await).await;
}

#[tokio::test]
#[ignore = "it needs HAProxy: run `cargo xtask test proxies`"]
async fn clients_are_served_behind_haproxy() {
    holds_behind(Setup::start("haproxy.cfg", haproxy).await).await;
}
