//! TLS with a certificate that can be renewed while the server runs.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use stemedb_env::{Env, fs::read_file};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// No chain of certificates is longer, and no key.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: stemedb_env::Error,
    },
    /// A file holds no certificate or no private key in PEM.
    #[error("{} holds no {what} in PEM", file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A server's side of TLS 1.2 and 1.3.
#[derive(Clone, Debug)]
pub struct Tls {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

#[derive(Debug)]
struct Shared {
    env: Env,
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The bytes of both files as they are in use.
    loaded: Mutex<(Vec<u8>, Vec<u8>)>,
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(env: &Env, certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let bytes = (read(env, certificate)?, read(env, key)?);
        let certified = certified(&provider, (certificate, &bytes.0), (key, &bytes.1))?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let unusable =
            |source| TlsError::Unusable { certificate: certificate.into(), key: key.into(), source };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        let shared = Shared {
            env: env.clone(),
            certificate: certificate.into(),
            key: key.into(),
            provider,
            current,
            loaded: Mutex::new(bytes),
        };
        Ok(Tls { acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))), shared: Arc::new(shared) })
    }

    /// Reads both files again; true if new connections are shown another certificate from now on. Open ones keep theirs.
    ///
    /// # Errors
    /// See [`TlsError`]: then the certificate of before stays in use. So it does while a renewal has written one of the two files
    /// only.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Shared { env, certificate, key, provider, current, loaded } = &*self.shared;
        let bytes = (read(env, certificate)?, read(env, key)?);
        let mut loaded = loaded.lock();
        if *loaded == bytes {
            return Ok(false);
        }
        let certified = certified(provider, (certificate, &bytes.0), (key, &bytes.1))?;
        current.0.store(Arc::new(certified));
        *loaded = bytes;
        Ok(true)
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.0.accept(stream).await
    }
}

fn read(env: &Env, file: &Path) -> Result<Vec<u8>, TlsError> {
    read_file(&*env.fs, file, FILE_MAX_BYTES)
        .map_err(|source| TlsError::Unreadable { file: file.into(), source })
}

fn certified(
    provider: &CryptoProvider,
    (certificate, chain): (&Path, &[u8]),
    (key, secret): (&Path, &[u8]),
) -> Result<CertifiedKey, TlsError> {
    let not_pem = |file: &Path, what| TlsError::NotPem { file: file.into(), what };
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| not_pem(certificate, "certificate"))?;
    let secret = PrivateKeyDer::from_pem_slice(secret).map_err(|_| not_pem(key, "private key"))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|source| TlsError::Unusable {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })
}
