//! Calls to services that the operator chose: model providers and AWS. One client carries them all, so that a function
//! pays for one TLS stack and one pool. (Addresses that users name go through [`crate::egress`].)

use std::sync::Arc;
use std::time::Duration;

/// Which certificate authorities are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRoots {
    /// Mozilla's list, compiled in: no file is read at the start.
    #[default]
    Bundled,
    /// The machine's own, for private authorities; `SSL_CERT_FILE` is honoured.
    System,
}

/// A client that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The TLS settings do not hold together.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The system has no usable certificates.
    #[error("no certificate authority was found on this machine")]
    NoRoots,
    /// The client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// TLS with the given roots, for every client of the process.
///
/// # Errors
/// Where the provider offers no protocol version, or the system has no roots.
pub fn tls(roots: TlsRoots) -> Result<rustls::ClientConfig, OutboundError> {
    let mut store = rustls::RootCertStore::empty();
    match roots {
        TlsRoots::Bundled => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        TlsRoots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(OutboundError::NoRoots);
            }
        }
    }
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth())
}

/// The client. It follows no redirect and has no total timeout: each caller sets its own.
///
/// # Errors
/// As [`tls`], and where the client cannot be built.
#[expect(clippy::disallowed_methods, reason = "the one place that builds the client")]
pub fn client(roots: TlsRoots, connect_timeout: Duration) -> Result<reqwest::Client, OutboundError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls(roots)?)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("orrery/", env!("CARGO_PKG_VERSION")))
        .build()?)
}
