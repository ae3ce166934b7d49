//! TLS for a listener, with rustls. Changed certificates are read again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;

pub(crate) use self::stream::TlsStream;
use crate::{Error, ErrorKind};

mod stream;

/// The certificate and key of a listener. See [`Listener::with_tls`](crate::Listener::with_tls).
///
/// While connections arrive, the files are checked for changes, at most every ten seconds. A complete new pair replaces
/// the old one. An incomplete pair is not used, and the log has the reason.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
}

impl Tls {
    /// Reads a certificate with its chain, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`]: a file cannot be read or does not contain them, or the two do not belong together.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let files = Files { certificate: certificate.into(), key: key.into() };
        let state = Mutex::new(State::read(files, &provider)?);
        let resolver = Arc::new(Resolver { provider: Arc::clone(&provider), state });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Tls, format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Resolver>::clone(&resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), resolver })
    }

    /// Reads other files now, and uses them from now on.
    ///
    /// # Errors
    /// As for [`Self::from_files`]. The old certificate then stays.
    pub fn replace(&self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<(), Error> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        self.use_certificate(LoadedCertificate(State::read(files, &self.resolver.provider)?));
        Ok(())
    }

    /// Reads files without using them yet.
    #[cfg(feature = "config")]
    pub(crate) fn read(&self, certificate: &Path, key: &Path) -> Result<LoadedCertificate, Error> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        State::read(files, &self.resolver.provider).map(LoadedCertificate)
    }

    /// Uses a certificate that was read.
    pub(crate) fn use_certificate(&self, LoadedCertificate(state): LoadedCertificate) {
        *self.resolver.state.lock() = state;
    }

    /// Makes the handshake with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsStream::accept(stream, Arc::clone(&self.config)).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The source of the certificate.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let about =
            |path: &Path, words: String| Error::new(ErrorKind::Tls, format!("{}: {words}", path.display()));
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect).map_err(
                |error| about(&self.certificate, format!("cannot read a certificate in PEM: {error}")),
            )?;
        if chain.is_empty() {
            let words = "there is no certificate in it: one begins with -----BEGIN CERTIFICATE-----";
            return Err(about(&self.certificate, words.into()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|_| {
            let words = "cannot read a private key in PEM: one begins with -----BEGIN PRIVATE KEY-----";
            about(&self.key, words.into())
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let words = format!(
                    "this key does not belong to the certificate in {}: use the key of that certificate",
                    self.certificate.display()
                );
                about(&self.key, words)
            }
            other => about(&self.certificate, format!("the certificate and its key are unusable: {other}")),
        })
    }

    fn check_kind(&self) -> Result<(), Error> {
        let is_other = |path: &&PathBuf| std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        match [&self.certificate, &self.key].into_iter().find(is_other) {
            None => Ok(()),
            Some(path) => {
                Err(Error::new(ErrorKind::Tls, format!("{} is not a file: name a file", path.display())))
            }
        }
    }

    /// When each file was changed last. Not the later of both: a certificate may be older than its key.
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    }
}

/// Returns the current certificate.
struct Resolver {
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
}

/// A certificate that was read and is not in use yet.
pub(crate) struct LoadedCertificate(State);

struct State {
    files: Files,
    current: Arc<CertifiedKey>,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

impl State {
    fn read(files: Files, provider: &CryptoProvider) -> Result<Self, Error> {
        // Read first: a change during the reading is then noticed at the next check.
        let changed = files.changed();
        let current = Arc::new(files.read(provider)?);
        Ok(Self { files, current, changed, looked: Instant::now() })
    }
}

impl Resolver {
    fn current(&self, now: Instant) -> Arc<CertifiedKey> {
        let mut state = self.state.lock();
        if now.saturating_duration_since(state.looked) >= CHECK_INTERVAL {
            state.looked = now;
            let changed = state.files.changed();
            if changed != state.changed {
                // A special file, such as a pipe, could block every connecting client.
                let read = state.files.check_kind().and_then(|()| state.files.read(&self.provider));
                match read {
                    Ok(read) => {
                        tracing::info!("the certificate has changed: the new one is in use");
                        state.current = Arc::new(read);
                        state.changed = changed;
                    }
                    // The file may be half written.
                    Err(error) => {
                        tracing::error!("the new certificate is unusable, the old one stays in use: {error}");
                    }
                }
            }
        }
        Arc::clone(&state.current)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current(Instant::now()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("files", &self.state.lock().files).finish_non_exhaustive()
    }
}

/// The time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::fs;

    use super::*;

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn files(&self) -> Files {
            Files { certificate: self.0.path().join("cert.pem"), key: self.0.path().join("key.pem") }
        }

        fn write(&self, certificate: &str, key: &str) {
            let files = self.files();
            fs::write(&files.certificate, certificate).unwrap();
            fs::write(&files.key, key).unwrap();
        }

        fn error(&self) -> String {
            let files = self.files();
            let error = Tls::from_files(files.certificate, files.key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls);
            error.to_string()
        }
    }

    #[test]
    fn a_wrong_pair_is_reported_with_the_file() {
        let (ours, other) = (pair(), pair());
        let folder = Folder::new();
        assert!(folder.error().contains("cert.pem"));
        folder.write("nothing", &ours.key);
        assert!(folder.error().contains("BEGIN CERTIFICATE"));
        folder.write(&ours.certificate, "nothing");
        assert!(folder.error().contains("key.pem"));
        folder.write(&ours.certificate, &other.key);
        let error = folder.error();
        assert!(error.contains("does not belong to the certificate"), "{error}");
        assert!(!error.contains(other.key.lines().nth(1).unwrap()), "no key in words");
    }

    #[test]
    fn a_new_certificate_is_taken_when_it_is_whole() {
        let (old, new) = (pair(), pair());
        let folder = Folder::new();
        folder.write(&old.certificate, &old.key);
        let provider = Arc::new(ring::default_provider());
        let start = Instant::now();
        // Long enough ago for the file system to tell the difference.
        let state =
            State { changed: [None; 2], looked: start, ..State::read(folder.files(), &provider).unwrap() };
        let resolver = Resolver { provider, state: Mutex::new(state) };
        let shown = |after: Duration| resolver.current(start + after).cert[0].clone();
        let first = shown(Duration::ZERO);

        folder.write(&new.certificate, &old.key);
        assert_eq!(shown(CHECK_INTERVAL), first, "half of it");
        folder.write(&new.certificate, &new.key);
        assert_eq!(shown(CHECK_INTERVAL), first, "not looked at again so soon");
        assert_ne!(shown(CHECK_INTERVAL * 2), first);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_certificate_blocks_no_client() {
        let Pair { certificate, key } = pair();
        let folder = Folder::new();
        folder.write(&certificate, &key);
        let provider = Arc::new(ring::default_provider());
        let state = State::read(folder.files(), &provider).unwrap();
        let start = state.looked;
        let resolver = Resolver { provider, state: Mutex::new(state) };
        let first = resolver.current(start).cert[0].clone();
        let path = folder.files().key;
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(resolver.current(start + CHECK_INTERVAL).cert[0], first);
    }

    #[test]
    fn a_new_certificate_is_taken_though_it_is_older_than_its_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = || {
            let params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        let folder = Folder::new();
        let files = folder.files();
        let set_age = |seconds| {
            let certificate = fs::File::options().append(true).open(&files.certificate).unwrap();
            certificate.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        folder.write(&certificate(), &key.serialize_pem());
        set_age(7200);
        let provider = Arc::new(ring::default_provider());
        let state = Mutex::new(State::read(folder.files(), &provider).unwrap());
        let start = state.lock().looked;
        let resolver = Resolver { provider, state };
        let shown = |after: Duration| resolver.current(start + after).cert[0].clone();
        let first = shown(Duration::ZERO);

        // Copied with its old time.
        fs::write(&files.certificate, certificate()).unwrap();
        set_age(3600);
        assert_ne!(shown(CHECK_INTERVAL), first);
    }

    #[test]
    fn other_files_are_used_at_once_and_only_if_they_are_valid() {
        let (first, second) = (Folder::new(), Folder::new());
        for folder in [&first, &second] {
            let Pair { certificate, key } = pair();
            folder.write(&certificate, &key);
        }
        let (one, two) = (first.files(), second.files());
        let tls = Tls::from_files(&one.certificate, &one.key).unwrap();
        let shown = || tls.resolver.current(Instant::now()).cert.clone();
        let before = shown();
        assert_eq!(tls.replace(&two.certificate, &one.key).unwrap_err().kind(), ErrorKind::Tls);
        assert_eq!(shown(), before);
        tls.replace(&two.certificate, &two.key).unwrap();
        assert_ne!(shown(), before);
    }
}
