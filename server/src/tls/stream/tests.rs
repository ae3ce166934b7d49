#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use super::*;

struct Ends {
    server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server: Arc::new(server), client }
    }

    /// Without session tickets after the handshake: in a narrow pipe they would block behind a client that does not
    /// read yet.
    fn without_tickets(version: &'static SupportedProtocolVersion) -> Self {
        let mut ends = Self::new(version);
        Arc::get_mut(&mut ends.server).unwrap().send_tls13_tickets = 0;
        ends
    }

    fn client_connection(&self) -> ClientConnection {
        ClientConnection::new(Arc::new(self.client.clone()), name()).unwrap()
    }

    /// Both ends after a handshake over a pipe.
    async fn meet<A, B>(&self, server: A, client: B) -> (TlsStream<A>, client::TlsStream<B>)
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(Arc::new(self.client.clone()));
        let server = TlsStream::accept(server, Arc::clone(&self.server));
        let (server, client) = tokio::join!(server, connector.connect(name(), client));
        (server.unwrap(), client.unwrap())
    }
}

fn name() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

async fn meet() -> (TlsStream<DuplexStream>, client::TlsStream<DuplexStream>) {
    let (server, client) = duplex(256 * 1024);
    Ends::new(&TLS13).meet(server, client).await
}

async fn read(stream: &mut TlsStream<impl AsyncRead + AsyncWrite + Unpin>) -> Result<Vec<u8>, ErrorKind> {
    let mut data = vec![0; 100];
    let count = stream.read(&mut data).await.map_err(|error| error.kind())?;
    data.truncate(count);
    Ok(data)
}

/// A pipe with a limited number of bytes per read and write, and now and then none yet.
struct Pieces {
    pipe: DuplexStream,
    sizes: Vec<usize>,
    at: usize,
}

impl Pieces {
    fn new(pipe: DuplexStream, sizes: &[usize]) -> Self {
        Self { pipe, sizes: sizes.into(), at: 0 }
    }

    fn poll_size(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.at = (self.at + 1) % self.sizes.len();
        match self.sizes[self.at] {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            size => Poll::Ready(size),
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = ready!(self.poll_size(cx)).min(read.remaining());
        let mut space = vec![0; size];
        let mut piece = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut piece))?;
        read.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let size = ready!(self.poll_size(cx)).min(data.len());
        Pin::new(&mut self.pipe).poll_write(cx, &data[..size])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// Writes everything in messages of these sizes, then ends.
async fn say(stream: &mut (impl AsyncWrite + Unpin), data: &[u8], sizes: &[usize], is_vectored: bool) {
    let mut said = 0;
    let mut sizes = sizes.iter().cycle();
    while said < data.len() {
        let rest = &data[said..(said + 1 + sizes.next().unwrap()).min(data.len())];
        let (first, second) = rest.split_at(rest.len() / 3);
        said += if is_vectored {
            stream.write_vectored(&[IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)]).await
        } else {
            stream.write(rest).await
        }
        .unwrap();
    }
    stream.shutdown().await.unwrap();
}

/// Reads everything to the end.
async fn hear(stream: &mut (impl AsyncRead + Unpin), room: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut space = vec![0; room];
    loop {
        match stream.read(&mut space).await.unwrap() {
            0 => return heard,
            count => heard.extend_from_slice(&space[..count]),
        }
    }
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn converse(ends: &Ends, capacity: usize, pieces: [&[usize]; 2], sizes: &[usize], length: usize) {
    let (server, client) = duplex(capacity);
    let (mut server, mut client) =
        ends.meet(Pieces::new(server, pieces[0]), Pieces::new(client, pieces[1])).await;
    assert_eq!(client.get_ref().1.alpn_protocol(), None);
    let (down, up) = (data(length), data(length / 2 + 1));
    {
        let (mut server_reads, mut server_writes) = tokio::io::split(&mut server);
        let (mut client_reads, mut client_writes) = tokio::io::split(&mut client);
        let (.., at_server, at_client) = tokio::join!(
            say(&mut server_writes, &down, sizes, true),
            say(&mut client_writes, &up, sizes, false),
            hear(&mut server_reads, 700),
            hear(&mut client_reads, 5000),
        );
        assert!(at_server == up && at_client == down);
    }
    assert_eq!(held(&server), 0);
}

fn held<S>(stream: &TlsStream<S>) -> usize {
    stream.incoming.len() + stream.plain.capacity() + stream.outgoing.capacity()
}

#[tokio::test]
async fn a_conversation_goes_through_pieces_of_one_byte() {
    for version in [&TLS12, &TLS13] {
        converse(&Ends::without_tickets(version), 1, [&[1, 0, 1], &[1]], &[0, 1, 100, 10_000], 20_000).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_conversation_goes_through_pieces_of_any_size(
        capacity in prop_oneof![1..50_usize, 1000..100_000_usize],
        piece in vec(prop_oneof![0..40_usize, 0..40_000_usize], 1..20),
        other in vec(prop_oneof![0..40_usize, 0..40_000_usize], 1..20),
        sizes in vec(prop_oneof![0..40_usize, 0..100_000_usize], 1..10),
        length in 0..60_000_usize,
        is_tls12: bool,
    ) {
        let ends = Ends::without_tickets(if is_tls12 { &TLS12 } else { &TLS13 });
        // Data arrives eventually.
        let (piece, other) = ([&piece[..], &[500]].concat(), [&other[..], &[500]].concat());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(converse(&ends, capacity, [&piece, &other], &sizes, length));
    }

    #[test]
    fn invalid_tls_is_an_error_and_no_panic(
        is_met: bool,
        header in prop_oneof![Just(vec![]), (20..25_u8, 0..20_u8).prop_map(|(kind, length)| vec![kind, 3, 3, 0, length])],
        noise in vec(any::<u8>(), 0..40_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let noise = [&header[..], &noise].concat();
            let (server, mut client) = duplex(256 * 1024);
            if is_met {
                let (mut server, client) = Ends::new(&TLS13).meet(server, client).await;
                let (mut client, _) = client.into_inner();
                client.write_all(&noise).await.unwrap();
                client.shutdown().await.unwrap();
                read(&mut server).await.unwrap_err();
                read(&mut server).await.unwrap_err();
                let _ = server.write(b"x").await;
                let _ = server.shutdown().await;
            } else {
                client.write_all(&noise).await.unwrap();
                client.shutdown().await.unwrap();
                assert!(TlsStream::accept(server, Ends::new(&TLS13).server).await.is_err());
            }
        });
    }
}

#[tokio::test]
async fn an_idle_connection_has_no_buffer() {
    let (mut server, mut client) = meet().await;
    assert_eq!(held(&server), 0);
    client.write_all(&[7; 1000]).await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), [7; 100]);
    assert!(held(&server) >= 900, "it is not read yet");
    for _ in 0..9 {
        read(&mut server).await.unwrap();
    }
    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(held(&server), 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_has_at_most_one_write_waiting() {
    let (server, client) = duplex(4096);
    let (mut server, mut client) = Ends::new(&TLS13).meet(server, client).await;
    let sent = data(100_000);
    let mut said = server.write(&sent).await.unwrap();
    assert_eq!(said, WRITE_BYTES);
    assert!(futures_util::FutureExt::now_or_never(server.write(&sent[said..])).is_none());
    assert!(held(&server) < WRITE_BYTES + 1024, "{}", held(&server));
    let (_, heard) = tokio::join!(
        async {
            while said < sent.len() {
                said += server.write(&sent[said..]).await.unwrap();
            }
            server.shutdown().await.unwrap();
        },
        hear(&mut client, 1000),
    );
    assert!(heard == sent);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error_and_one_that_is_closed_an_end() {
    let (mut server, mut client) = meet().await;
    client.write_all(b"bye").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"bye");
    assert_eq!(read(&mut server).await.unwrap(), b"");
    assert_eq!(read(&mut server).await.unwrap(), b"");
    // The other direction is still open.
    server.write_all(b"and you").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(hear(&mut client, 100).await, b"and you");

    let (mut server, mut client) = meet().await;
    client.write_all(b"by").await.unwrap();
    client.get_mut().0.shutdown().await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"by");
    assert_eq!(read(&mut server).await, Err(ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn keys_change_while_data_flows() {
    let (mut server, mut client) = meet().await;
    for round in 0..10 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[round; 10]).await.unwrap();
        assert_eq!(read(&mut server).await.unwrap(), [round; 10]);
        server.write_all(&[round; 20]).await.unwrap();
        let mut answer = [0; 20];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [round; 20]);
    }
    assert_eq!(held(&server), 0);
}

#[tokio::test]
async fn a_bad_record_is_answered_by_an_alert_after_the_good_data() {
    let too_long = [&[23, 3, 3, 0xff, 0xff][..], &[0; 100]].concat();
    let not_encrypted = [&[23, 3, 3, 0, 40][..], &[1; 40]].concat();
    let unknown = [99, 3, 3, 0, 2, 0, 0].to_vec();
    for wrong in [too_long, not_encrypted, unknown] {
        let (mut server, mut client) = meet().await;
        client.write_all(b"right").await.unwrap();
        let (mut pipe, mut tls) = client.into_inner();
        pipe.write_all(&wrong).await.unwrap();
        assert_eq!(read(&mut server).await.unwrap(), b"right");
        assert_eq!(read(&mut server).await, Err(ErrorKind::InvalidData));
        assert_eq!(server.write(b"on").await.unwrap_err().kind(), ErrorKind::InvalidData);
        server.shutdown().await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        pipe.read_to_end(&mut answer).await.unwrap();
        tls.read_tls(&mut &answer[..]).unwrap();
        assert!(matches!(tls.process_new_packets(), Err(rustls::Error::AlertReceived(_))));
    }
}

#[tokio::test]
async fn a_failed_handshake_reports_the_reason_at_both_ends() {
    let accept = async |ends: &Ends, client: ClientConfig| {
        let (server, pipe) = duplex(256 * 1024);
        let client = TlsConnector::from(Arc::new(client)).connect(name(), pipe);
        let (server, client) = tokio::join!(TlsStream::accept(server, Arc::clone(&ends.server)), client);
        (server.map(drop), client.map(drop))
    };
    let ends = Ends::new(&TLS13);
    let (server, _) = accept(&ends, Ends::new(&TLS13).client).await;
    assert!(server.unwrap_err().to_string().contains("alert"), "the client does not trust the certificate");

    let mut client = ends.client.clone();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let (server, client) = accept(&ends, client).await;
    assert_eq!(server.unwrap_err().kind(), ErrorKind::InvalidData);
    let client = client.unwrap_err().into_inner().unwrap().downcast::<rustls::Error>().unwrap();
    assert_eq!(*client, rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn a_returning_client_resumes_and_agrees_on_http() {
    for version in [&TLS12, &TLS13] {
        let mut ends = Ends::new(version);
        ends.client.alpn_protocols = vec![b"http/1.1".to_vec()];
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (server, client) = duplex(4096);
            let (mut server, mut client) = ends.meet(server, client).await;
            let tls = client.get_ref().1;
            assert_eq!((tls.handshake_kind(), tls.alpn_protocol()), (Some(kind), Some(&b"http/1.1"[..])));
            server.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
    }
}

/// Splits each handshake record into records of a few bytes.
fn in_small_records(records: &[u8], size: usize) -> Vec<u8> {
    let (header, content) = records.split_at(5);
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    assert_eq!(length, content.len(), "one record");
    let record = |piece: &[u8]| [&header[..3], &[0, piece.len() as u8], piece].concat();
    content.chunks(size).flat_map(record).collect()
}

#[tokio::test]
async fn a_message_of_the_handshake_comes_in_many_records() {
    for (size, step) in [(1, 7), (50, 1), (200, 10_000)] {
        let ends = Ends::new(&TLS13);
        let (server, mut pipe) = duplex(256 * 1024);
        let server = tokio::spawn(TlsStream::accept(server, Arc::clone(&ends.server)));
        let mut client = ends.client_connection();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        for piece in in_small_records(&hello, size).chunks(step) {
            pipe.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        while client.is_handshaking() {
            let mut answer = vec![0; 10_000];
            let count = pipe.read(&mut answer).await.unwrap();
            client.read_tls(&mut &answer[..count]).unwrap();
            client.process_new_packets().unwrap();
        }
        let mut finished = Vec::new();
        io::Write::write_all(&mut client.writer(), b"at once").unwrap();
        while client.wants_write() {
            client.write_tls(&mut finished).unwrap();
        }
        pipe.write_all(&finished).await.unwrap();
        assert_eq!(read(&mut server.await.unwrap().unwrap()).await.unwrap(), b"at once");
    }
}

#[tokio::test]
async fn a_message_of_the_handshake_that_has_no_end_is_refused() {
    let (server, mut pipe) = duplex(256 * 1024);
    // The start of a message of sixteen megabytes, followed by more and more of it.
    let first = [&[22, 3, 1, 0x3f, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x3efc]].concat();
    pipe.write_all(&first).await.unwrap();
    for _ in 0..3 {
        pipe.write_all(&[&[22, 3, 1, 0x3f, 0][..], &[0; 0x3f00]].concat()).await.unwrap();
    }
    let error = TlsStream::accept(server, Ends::new(&TLS13).server).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}
