//! `wss://`: the certificates that are trusted, and the errors for the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should say where"
)]

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wirehub_client::common::frame::{Connected, Reply, ReplyBody, ServerFrame};
use wirehub_client::common::{Codec, SUBPROTOCOL_PROTOBUF};
use wirehub_client::{Address, AddressError, ClientState, Config, Error};

#[tokio::test]
async fn a_server_with_a_certificate_by_a_trusted_authority_is_connected_to() {
    let authority = authority();
    let server = Server::start(&authority, &["localhost"], valid).await;
    let client = wirehub_client::client(server.address("localhost", &authority), Config::default());
    client.connect().await.unwrap();
    assert_eq!(client.state(), ClientState::Connected);
    assert_eq!(server.greeted.await.unwrap().as_deref(), Some("localhost"), "the name is in the handshake");
}

#[tokio::test]
async fn a_certificate_may_be_for_an_ip_address() {
    let authority = authority();
    let server = Server::start(&authority, &["127.0.0.1"], valid).await;
    let client = wirehub_client::client(server.address("127.0.0.1", &authority), Config::default());
    client.connect().await.unwrap();
    assert_eq!(server.greeted.await.unwrap(), None, "addresses are not named in the handshake");
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_ends_the_client() {
    let server = Server::start(&authority(), &["localhost"], valid).await;
    let error = refused(server.address("localhost", &authority())).await;
    assert!(error.message().contains("Address::with_root_certificates"), "{error}");
}

#[tokio::test]
async fn authorities_that_were_not_given_are_not_trusted_though_the_system_may() {
    let server = Server::start(&authority(), &["localhost"], valid).await;
    let address: Address = format!("wss://localhost:{}/ws", server.port).parse().unwrap();
    let error = refused(address).await;
    // A system without any certificates has this error instead.
    assert!(error.message().contains("Address::with_root_certificates"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_ends_the_client_and_the_error_has_the_name() {
    let authority = authority();
    let server = Server::start(&authority, &["example.test"], valid).await;
    let error = refused(server.address("localhost", &authority)).await;
    assert!(error.message().contains("not for localhost but for"), "{error}");
    assert!(error.message().contains("example.test"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_reported_and_tried_again() {
    let authority = authority();
    let server = Server::start(&authority, &["localhost"], |certificate| {
        certificate.not_before = rcgen::date_time_ymd(2001, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(2001, 2, 1);
    })
    .await;
    let reason = delayed(server.address("localhost", &authority)).await;
    assert!(reason.contains("has expired: renew it"), "{reason}");
}

#[tokio::test]
async fn a_certificate_of_the_future_is_reported_and_tried_again() {
    let authority = authority();
    let server = Server::start(&authority, &["localhost"], |certificate| {
        certificate.not_before = rcgen::date_time_ymd(3000, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(3000, 2, 1);
    })
    .await;
    let reason = delayed(server.address("localhost", &authority)).await;
    assert!(reason.contains("not valid yet: correct the clocks"), "{reason}");
}

#[tokio::test]
async fn a_server_without_tls_ends_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("wss://127.0.0.1:{}/ws", listener.local_addr().unwrap().port());
    let address = address.parse::<Address>().unwrap();
    let address = address.with_root_certificates(authority().pem().as_bytes()).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut { stream }, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let error = refused(address).await;
    assert!(error.message().contains("does not speak TLS"), "{error}");
}

/// In a process of its own, because the system's certificates are read only once.
#[tokio::test]
async fn the_systems_certificates_are_trusted_where_no_others_are_given() {
    const ADDRESS: &str = "WIREHUB_TEST_TLS_ADDRESS";
    if let Ok(address) = env::var(ADDRESS) {
        let client = wirehub_client::client(address.parse().unwrap(), Config::default());
        return client.connect().await.unwrap();
    }
    let authority = authority();
    let server = Server::start(&authority, &["localhost"], valid).await;
    let file = env::temp_dir().join(format!("wirehub-client-tls-{}.pem", std::process::id()));
    std::fs::write(&file, authority.pem()).unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "the_systems_certificates_are_trusted_where_no_others_are_given"]);
    child.env(ADDRESS, format!("wss://localhost:{}/ws", server.port)).env("SSL_CERT_FILE", &file);
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_text_without_certificates_is_refused() {
    let address = || Address::parse("wss://localhost/ws").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "a certificate", broken] {
        assert_eq!(address().with_root_certificates(pem.as_bytes()), Err(AddressError::Certificates));
    }
}

// --- a server --------------------------------------------------------------------------------------------------

/// A server that accepts one client and sends nothing more.
struct Server {
    port: u16,
    /// The name that the client asked for in the handshake, once it was accepted.
    greeted: oneshot::Receiver<Option<String>>,
}

impl Server {
    /// A server with a certificate for `names`, changed by `change`.
    async fn start(
        authority: &Authority,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut certificate = CertificateParams::new(names).unwrap();
        change(&mut certificate);
        let certificate = certificate.signed_by(&key, authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (greet, greeted) = oneshot::channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, config, greet).await;
        });
        Self { port, greeted }
    }

    fn address(&self, host: &str, authority: &Authority) -> Address {
        let address: Address = format!("wss://{host}:{}/ws", self.port).parse().unwrap();
        address.with_root_certificates(authority.pem().as_bytes()).unwrap()
    }
}

async fn serve(stream: TcpStream, config: ServerConfig, greet: oneshot::Sender<Option<String>>) {
    // A client that does not trust the certificate ends the handshake.
    let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
    let name = stream.get_ref().1.server_name().map(str::to_owned);
    #[allow(clippy::result_large_err, reason = "the type is tungstenite's")]
    let choose = |_: &Request, mut response: Response| {
        let protocol = SUBPROTOCOL_PROTOBUF.parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
    let Some(Ok(Message::Binary(greeting))) = socket.next().await else { panic!("no connect came") };
    let connect = Codec::Protobuf.decode_commands(&greeting).next().unwrap().unwrap();
    let connected = Connected { session: "s".into(), ..Connected::default() };
    let reply = Reply { id: connect.id, result: Ok(ReplyBody::Connected(Box::new(connected))) };
    let reply = Codec::Protobuf.encode_frame(&ServerFrame::Reply(reply));
    socket.send(Message::Binary(reply)).await.unwrap();
    greet.send(name).unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn valid(_: &mut CertificateParams) {}

// --- clients ---------------------------------------------------------------------------------------------------

/// The error of a client that ended before it was connected.
async fn refused(address: Address) -> Error {
    let client = wirehub_client::client(address, Config::default());
    let error =
        tokio::time::timeout(LONG, client.connect()).await.expect("an end of the client").unwrap_err();
    assert_eq!(client.state(), ClientState::Closed);
    error
}

/// The reason for which a client was not connected and tries again.
async fn delayed(address: Address) -> String {
    let client = wirehub_client::client(address, Config::default());
    let mut changes = client.state_changes();
    let connecting = client.connect();
    let failure = async {
        loop {
            let change = changes.next().await.expect("the client tries again");
            if change.retry_in.is_some() {
                return change.reason;
            }
        }
    };
    tokio::select! {
        result = connecting => panic!("{result:?}"),
        reason = tokio::time::timeout(LONG, failure) => reason.expect("a failed attempt"),
    }
}

const LONG: Duration = Duration::from_secs(20);
