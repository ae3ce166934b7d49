use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::service_fn;

use super::*;

#[test]
fn a_url_has_a_scheme_and_a_host_and_is_shown_without_query() {
    for good in ["https://a.example", "http://127.0.0.1:80/x", "http://[::1]:1/"] {
        assert!(good.parse::<BackendUrl>().is_ok(), "{good}");
    }
    for bad in ["", "a.example", "/x", "ftp://a.example", "https://", "https://u:p@a.example/", "https:// a"]
    {
        assert_eq!(bad.parse::<BackendUrl>(), Err(BackendUrlError), "{bad}");
    }
    let url: BackendUrl = "https://a.example/x?key=secret".parse().unwrap();
    assert_eq!(
        (format!("{url}"), format!("{url:?}")),
        ("https://a.example/x".into(), "https://a.example/x".into())
    );
}

#[test]
fn unencrypted_traffic_over_the_network_is_exposed() {
    let is_exposed = |text: &str| text.parse::<BackendUrl>().unwrap().is_exposed();
    assert!(is_exposed("http://a.example/"));
    assert!(is_exposed("http://10.0.0.1/"));
    for fine in ["https://a.example", "http://localhost:1/", "http://127.0.0.1/", "http://[::1]/"] {
        assert!(!is_exposed(fine), "{fine}");
    }
}

/// Answers every request with the request itself.
async fn serve_echo(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream));
    }
}

/// Reads the head of a request and returns it as the answer.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let head = read_head(&mut stream).await;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    // Until the other end closes.
    let _ = stream.read(&mut [0]).await;
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn get(outbound: &Outbound, url: &str) -> Result<String, Fault> {
    let url = url.parse().unwrap();
    let answer = outbound.send(Method::GET, &url, HeaderMap::new(), Bytes::new(), 10_000).await?;
    Ok(String::from_utf8(answer.body.into()).unwrap())
}

/// A port that neither accepts nor refuses connections: the system's queue is full.
async fn deaf_port(address: IpAddr) -> io::Result<(SocketAddr, impl Sized)> {
    let socket = Socket::new(Domain::for_address((address, 0).into()), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    socket.listen(0)?;
    let bound = socket.local_addr()?.as_socket().unwrap();
    let mut waiting = Vec::new();
    // The system may allow more connections than requested.
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(bound)).await {
        waiting.push(connected?);
    }
    Ok((bound, (socket, waiting)))
}

#[tokio::test]
async fn a_dead_address_does_not_use_up_the_time_of_a_live_one() {
    let (dead, _held) = match deaf_port(Ipv6Addr::LOCALHOST.into()).await {
        Ok(deaf) => deaf,
        Err(error) => return eprintln!("not tried, for there is no IPv6 here: {error}"),
    };
    let live = TcpListener::bind((Ipv4Addr::LOCALHOST, dead.port())).await.unwrap();
    let both = [dead, live.local_addr().unwrap()];
    tokio::spawn(serve_echo(live));
    let resolver = service_fn(move |_: Name| std::future::ready(Ok::<_, Infallible>(both.into_iter())));
    let tcp = HttpConnector::new_with_resolver(resolver);
    let mut connector = Connector::new(tcp, Trust::System, Proxies::new(Matcher::builder().build()));
    let begun = std::time::Instant::now();
    let url = format!("http://backend.example:{}/", dead.port());
    let stream = connector.call(url.parse().unwrap()).await.unwrap();
    let Stream::Plain(stream) = stream.into_inner() else { panic!("another kind") };
    assert!(stream.peer_addr().unwrap().is_ipv4());
    assert!(begun.elapsed() < CONNECT_TIMEOUT / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_certificate_of_the_backend_is_checked() {
    let made = rcgen::generate_simple_self_signed(vec!["backend.example".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://user:word@{}", proxy.local_addr().unwrap());
    let proxying = tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let asked = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 Here you are\r\n\r\n").await.unwrap();
        answer(tls.accept(stream).await.unwrap()).await;
        asked
    });
    let proxies = Proxies::new(Matcher::builder().https(at).build());
    let outbound = Outbound::with_proxies(Trust::only(made.cert.pem().as_bytes()).unwrap(), proxies);
    let heard = get(&outbound, "https://backend.example/x?y").await.unwrap();
    assert!(heard.starts_with("GET /x?y HTTP/1.1\r\n") && !heard.contains("proxy-authorization"), "{heard}");
    drop(outbound);
    let asked = proxying.await.unwrap();
    assert!(asked.starts_with("CONNECT backend.example:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n"), "{asked}");
}

#[tokio::test]
async fn http_is_requested_from_the_proxy_with_the_whole_url() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://user:word@{}", proxy.local_addr().unwrap());
    tokio::spawn(serve_echo(proxy));
    let outbound = Outbound::with_proxies(Trust::System, Proxies::new(Matcher::builder().http(at).build()));
    let heard = get(&outbound, "http://backend.example/x?y").await.unwrap();
    assert!(heard.starts_with("GET http://backend.example/x?y HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("proxy-authorization: Basic dXNlcjp3b3Jk\r\n"), "{heard}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_nothing_was_sent() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
    });
    let proxies = Proxies::new(Matcher::builder().all(format!("http://user:word@{address}")).build());
    let outbound = Outbound::with_proxies(Trust::System, proxies);
    let Err(Fault::Unsent(why)) = get(&outbound, "https://backend.example/").await else { panic!("sent") };
    assert!(why.contains(&format!("http://{address}")) && why.contains("authorization"), "{why}");
    assert!(!why.contains("word"), "{why}");
}
