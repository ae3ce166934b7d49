//! Server and client speak through TLS.

use std::fs;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wirehub_client::{Address, Config};
use wirehub_common::code::ErrorCode;
use wirehub_demo_contract::{ChatMessage, ChatRoom};
use wirehub_server::{ListenAddress, Listener, Tls, router};
use wirehub_tests::{publication, soon};

#[tokio::test]
async fn clients_that_trust_the_certificate_chat_and_others_get_an_error() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let hub = wirehub_demo::builder().build();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let listener = listener.with_tls(Tls::from_files(certificate, key).unwrap());
    let ListenAddress::Tcp(address) = listener.address().unwrap() else { panic!("no TCP") };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(wirehub_server::run(listener, hub.clone(), router(&hub), async {
        let _ = stopped.await;
    }));

    // A client that opens TCP alone does not stop the others, and neither does one without TLS.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();

    let wss = Address::parse(&format!("wss://localhost:{}/ws", address.port())).unwrap();
    let trusting = wss.clone().with_root_certificates(made.cert.pem().as_bytes()).unwrap();
    let client = wirehub_client::client(trusting, Config::default());
    soon(client.connect()).await.unwrap();
    let room = ChatRoom::new("lobby").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    // Longer than one record of TLS.
    let line = ChatMessage { nick: "ann".into(), text: "x".repeat(100_000) };
    client.publish(&room, &line).await.unwrap();
    assert_eq!(publication(&mut heard).await.message, line);

    let stranger = wirehub_client::client(wss, Config::default());
    let error = soon(stranger.connect()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CLOSED, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");

    stop.send(()).unwrap();
    soon(running).await.unwrap();
}
