//! TLS below a WebSocket.
//!
//! The operating system decides which authorities are trusted. Its store contains the authorities that a company added,
//! and is updated with the system. A list compiled into the program has neither advantage.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wirehub_common::code::CloseCode;

use crate::transport::Failure;

/// The trusted authorities.
#[derive(Clone, Default)]
pub(crate) enum Trust {
    /// The authorities that the operating system trusts.
    #[default]
    System,
    /// The authorities from the caller.
    Only(Arc<ClientConfig>),
}

impl Trust {
    /// The authorities in a PEM text; `None` if there is none, or one is not a certificate.
    pub(crate) fn only(pem: &[u8]) -> Option<Self> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok()?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).ok()?;
        }
        if roots.is_empty() {
            return None;
        }
        Some(Self::Only(Arc::new(config(roots).ok()?)))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        // Read only once, because there are hundreds of files.
        static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        match self {
            Self::Only(config) => Ok(Arc::clone(config)),
            Self::System => {
                if let Some(config) = SYSTEM.get() {
                    return Ok(Arc::clone(config));
                }
                let config =
                    tokio::task::spawn_blocking(system_config).await.map_err(|error| Failure {
                        code: CloseCode::ABNORMAL,
                        reason: format!("the system's certificates could not be read: {error}"),
                    })??;
                Ok(Arc::clone(SYSTEM.get_or_init(|| Arc::new(config))))
            }
        }
    }
}

/// Verifies that the server is `name`, and encrypts the connection.
pub(crate) async fn handshake(
    stream: TcpStream,
    name: &ServerName<'static>,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, Failure> {
    let connector = TlsConnector::from(trust.config().await?);
    connector.connect(name.clone(), stream).await.map_err(|error| {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        tls.map_or_else(|| cut_off(&error), |tls| refusal(tls, name))
    })
}

fn system_config() -> Result<ClientConfig, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old systems have some certificates that can't be read. They are not needed.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(for_good(format!(
            "this system has no root certificates{why}: install them (on Debian the package ca-certificates), \
             or pass the certificate of the server's authority to Address::with_root_certificates"
        )));
    }
    config(roots).map_err(|error| for_good(error.to_string()))
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A server with HTTP/2 must not choose it, because the upgrade to a WebSocket belongs to HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The meaning of a failed handshake, and its remedy.
fn refusal(error: &rustls::Error, name: &ServerName<'_>) -> Failure {
    let name = name.to_str();
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // Certificates are renewed and clocks are corrected while clients wait.
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => for_now(
                "the server's certificate has expired: renew it on the server, or correct this machine's clock"
                    .into(),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => for_now(
                "the server's certificate is not valid yet: correct the clocks of both machines".into(),
            ),
            // A bad signature is that of another authority with the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => for_good(
                "the server's certificate is not by a trusted authority: add the authority to the \
                 system's certificates, or pass its certificate to Address::with_root_certificates"
                    .into(),
            ),
            CertificateError::NotValidForName => for_good(format!(
                "the server's certificate is not for {name}: use a name from the certificate in the address"
            )),
            CertificateError::NotValidForNameContext { presented, .. } => for_good(format!(
                "the server's certificate is not for {name} but for {}: use that name in the address",
                presented.join(", ")
            )),
            CertificateError::Revoked => {
                for_good("the server's certificate is revoked: replace it on the server".into())
            }
            other => for_good(format!(
                "the server's certificate can't be trusted ({other}): inspect it with `openssl s_client`"
            )),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => for_good(
            "the server does not speak TLS at this port: use its port for TLS, or a ws:// address".into(),
        ),
        rustls::Error::AlertReceived(alert) => for_now(format!(
            "the server refused the TLS handshake ({alert:?}): check that it has a certificate for {name}"
        )),
        other => for_now(format!("the TLS handshake failed: {other}")),
    }
}

fn cut_off(error: &std::io::Error) -> Failure {
    for_now(format!("the connection broke in the TLS handshake: {error}"))
}

/// A failure after which the next attempt may succeed.
fn for_now(reason: String) -> Failure {
    Failure { code: CloseCode::ABNORMAL, reason }
}

/// A final failure: the server at this address has not proved its identity, and will not.
fn for_good(reason: String) -> Failure {
    Failure { code: CloseCode::NOT_WIREHUB, reason }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Only(_) => "Only(..)",
        })
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) => true,
            (Self::Only(one), Self::Only(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Trust {}
