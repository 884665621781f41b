//! libpq's `sslmode` on top of rustls.
//!
//! Rules: <https://www.postgresql.org/docs/current/libpq-ssl.html>. Two differences, both on the strict side: a
//! configured root certificate file that cannot be read is an error in every mode, and no file in the home
//! directory of whoever runs the process is consulted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::ConfigError;

mod authorities;
mod certificate;
mod names;
mod verifier;

use authorities::Authorities;
use verifier::Verifier;

/// How a connection is encrypted and whom it trusts: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted only if the server refuses otherwise.
    Allow,
    /// Encrypted if that works, else not.
    #[default]
    Prefer,
    /// Encrypted. The server may be anybody, unless root certificates are given: then as `verify-ca`.
    Require,
    /// Encrypted, with a certificate that a trusted authority signed.
    VerifyCa,
    /// As `verify-ca`, and the certificate is for the host that was asked for.
    VerifyFull,
}

impl SslMode {
    pub(crate) const NAMES: &str = "disable, allow, prefer, require, verify-ca or verify-full";

    fn verifies(self) -> bool {
        self >= Self::VerifyCa
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// Not the name of an [`SslMode`].
#[derive(Debug, thiserror::Error)]
#[error("must be {}", SslMode::NAMES)]
pub struct UnknownSslMode;

impl FromStr for SslMode {
    type Err = UnknownSslMode;

    fn from_str(text: &str) -> Result<Self, UnknownSslMode> {
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or(UnknownSslMode)
    }
}

impl parlant_settings::FromSetting for SslMode {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: UnknownSslMode| error.to_string())
    }
}

/// What to try on each address, and with which trust.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) mode: SslMode,
    pub(crate) connector: MakeRustlsConnect,
}

impl Tls {
    /// `roots` is a PEM file or `system`.
    pub(crate) fn new(
        mode: Option<SslMode>,
        roots: Option<&PathBuf>,
        negotiation: SslNegotiation,
    ) -> Result<Self, ConfigError> {
        let system = roots.is_some_and(|path| path.as_os_str() == "system");
        let mode = mode.unwrap_or(if system { SslMode::VerifyFull } else { SslMode::Prefer });
        if system && mode != SslMode::VerifyFull {
            return Err(ConfigError::WeakSystem(mode));
        }
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            return Err(ConfigError::WeakDirect(mode));
        }
        let roots = match roots {
            None if mode.verifies() => return Err(ConfigError::NoRootCert(mode)),
            None => None,
            Some(_) if system => Some(system_roots()?),
            Some(_) if mode == SslMode::Disable => None,
            Some(path) => Some(read_roots(path)?),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self { mode, connector: MakeRustlsConnect::new(client(provider, roots, mode)?) })
    }

    /// For servers that are reached without a network.
    pub(crate) fn none() -> Result<Self, ConfigError> {
        Self::new(Some(SslMode::Disable), None, SslNegotiation::Postgres)
    }

    /// The modes for tokio-postgres to try on one address, in order.
    pub(crate) fn attempts(&self) -> &'static [tokio_postgres::config::SslMode] {
        use tokio_postgres::config::SslMode as Attempt;
        match self.mode {
            SslMode::Disable => &[Attempt::Disable],
            SslMode::Allow => &[Attempt::Disable, Attempt::Require],
            SslMode::Prefer => &[Attempt::Prefer, Attempt::Disable],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Attempt::Require],
        }
    }
}

fn client(
    provider: Arc<CryptoProvider>,
    roots: Option<Vec<CertificateDer<'static>>>,
    mode: SslMode,
) -> Result<ClientConfig, ConfigError> {
    let unreadable = || ConfigError::RootCert("no certificate can be used".to_owned());
    let authorities = roots.map(|roots| Authorities::new(roots).ok_or_else(unreadable)).transpose()?;
    let verifier = Verifier::new(&provider, authorities, mode == SslMode::VerifyFull);
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::RootCert(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // Required by `sslnegotiation=direct`, ignored by servers before 17.
    client.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(client)
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let unreadable = |error: &dyn fmt::Display| ConfigError::RootCert(error.to_string());
    let roots: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(&error))?;
    if roots.is_empty() {
        return Err(unreadable(&"the file holds no certificate"));
    }
    Ok(roots)
}

/// The operating system's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others, as for OpenSSL.
fn system_roots() -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let error = found.errors.first();
        return Err(ConfigError::RootCert(error.map_or_else(|| "the system has none".to_owned(), ToString::to_string)));
    }
    Ok(found.certs)
}
