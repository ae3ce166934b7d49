//! `wirehub health`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde::Deserialize;
use wirehub_server::ListenAddress;

use super::note;

/// The options of a readiness check.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthOptions {
    /// The address of the server: an IP address and a port, with or without TLS, or unix:PATH. The certificate is not
    /// checked.
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub address: ListenAddress,
}

impl HealthOptions {
    /// Returns the exit status: 0 if the server is ready, otherwise 1, with the reason on standard error.
    pub fn run(&self) -> ExitCode {
        match self.ask() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                note(&why);
                ExitCode::FAILURE
            }
        }
    }

    fn ask(&self) -> Result<(), String> {
        let answer = match &self.address {
            ListenAddress::Tcp(address) => ask_tcp(*address),
            #[cfg(unix)]
            ListenAddress::Unix(path) => ask_unix(path),
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        };
        let answer = answer.map_err(|error| format!("no answer from {}: {error}", self.address))?;
        check_answer(&answer)
    }
}

/// The reason for a missing or invalid answer.
enum Fault {
    /// Nothing listens on the address.
    Connect(io::Error),
    /// The server did not answer properly.
    Answer(io::Error),
    NoHttp,
    Tls(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Answer(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "{}: is the server running and listening there?", Words(error)),
            Self::Answer(error) => Words(error).fmt(f),
            Self::NoHttp => {
                f.write_str("the program at this address does not speak HTTP: use the address of the server")
            }
            Self::Tls(error) => write!(
                f,
                "the program at this address speaks neither HTTP nor HTTPS ({}): use the address of the server",
                Words(error)
            ),
        }
    }
}

/// An error in words. Some timeouts have none of their own.
struct Words<'a>(&'a io::Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                write!(f, "no data within {} s", TIMEOUT.as_secs())
            }
            _ => self.0.fmt(f),
        }
    }
}

/// Tries without TLS first. If there is no answer, the server may use TLS.
fn ask_tcp(address: SocketAddr) -> Result<String, Fault> {
    let connect = || {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(Fault::Connect)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok::<_, Fault>(stream)
    };
    match request(connect()?) {
        Ok(answer) if is_http(&answer) => return Ok(answer),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            return Err(error.into());
        }
        _ => {}
    }
    let client = ClientConnection::new(config().map_err(io::Error::other)?, ServerName::from(address.ip()));
    let stream = StreamOwned::new(client.map_err(io::Error::other)?, connect()?);
    let answer = request(stream).map_err(Fault::Tls)?;
    if is_http(&answer) { Ok(answer) } else { Err(Fault::NoHttp) }
}

#[cfg(unix)]
fn ask_unix(path: &Path) -> Result<String, Fault> {
    let stream = UnixStream::connect(path).map_err(Fault::Connect)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let answer = request(stream)?;
    if is_http(&answer) { Ok(answer) } else { Err(Fault::NoHttp) }
}

/// The time limit of each step: connecting, and each read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of an answer.
const MAX_ANSWER: u64 = 64 * 1024;

fn request(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let read = stream.take(MAX_ANSWER).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // After a complete answer, a missing end of TLS is not an error.
    read.map(drop).or_else(|error| if is_http(&answer) { Ok(()) } else { Err(error) })?;
    Ok(answer)
}

fn is_http(answer: &str) -> bool {
    answer.starts_with("HTTP/1.")
}

/// Returns whether an answer means that the server is ready.
fn check_answer(answer: &str) -> Result<(), String> {
    #[derive(Default, Deserialize)]
    struct Readiness {
        status: String,
        #[serde(default)]
        waiting_for: Vec<String>,
    }

    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let readiness: Readiness = serde_json::from_str(body).unwrap_or_default();
    Err(match &*readiness.status {
        "stopping" => "not ready: the server is stopping".into(),
        "waiting" => {
            format!(
                "not ready: the server waits for {}; its log has the reason",
                readiness.waiting_for.join(", ")
            )
        }
        _ => format!("not ready: /ready returned status {status}: is this a Wirehub server?"),
    })
}

fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts every certificate. Nothing secret is sent, and the certificate is for the public name of this machine.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_reason_for_not_being_ready() {
        let check_answer =
            |status: &str, body: &str| check_answer(&format!("HTTP/1.1 {status}\r\nx: y\r\n\r\n{body}"));
        assert_eq!(check_answer("200 OK", r#"{"status":"ready"}"#), Ok(()));
        for (status, body, words) in [
            ("503 Service Unavailable", r#"{"status":"stopping"}"#, "is stopping"),
            (
                "503 x",
                r#"{"status":"waiting","waiting_for":["key set","engine"]}"#,
                "waits for key set, engine",
            ),
            ("404 Not Found", "no page", "status 404"),
            ("502 Bad Gateway", "", "status 502"),
        ] {
            let told = check_answer(status, body).unwrap_err();
            assert!(told.starts_with("not ready: ") && told.contains(words), "{told}");
        }
    }
}
