//! A certificate for one run.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HOST: &str = "localhost";

const CONFIGURATION: &str = "wirehub.toml";

/// The server's certificate, and the trust of the load in it.
pub(crate) struct Certificate {
    folder: TempDir,
    connector: TlsConnector,
}

impl Certificate {
    pub(crate) fn new() -> Result<Self> {
        let made =
            rcgen::generate_simple_self_signed([HOST.to_owned()]).context("cannot make a certificate")?;
        let folder = tempfile::tempdir().context("cannot make a folder for the certificate")?;
        let mut authorities = RootCertStore::empty();
        authorities.add(made.cert.der().clone())?;
        let config = ClientConfig::builder().with_root_certificates(authorities).with_no_client_auth();
        let path = folder.path();
        fs::write(path.join("certificate.pem"), made.cert.pem())?;
        fs::write(path.join("key.pem"), made.signing_key.serialize_pem())?;
        fs::write(path.join(CONFIGURATION), "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n")?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), folder })
    }

    /// A configuration file of `wirehub serve` that names it.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join(CONFIGURATION)
    }

    /// Makes the handshake, as a client.
    pub(crate) async fn wrap<S>(&self, stream: S) -> Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = ServerName::try_from(HOST)?;
        self.connector.connect(host, stream).await.context("the TLS handshake failed")
    }
}
