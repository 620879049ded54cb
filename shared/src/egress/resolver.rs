//! Names to addresses, with the guard in the resolver that the connection itself uses: what was checked is what is
//! connected to, so a name that changes its address between check and connection gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Reach;

/// Something that knows the addresses of names.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a host name.
    ///
    /// # Errors
    /// Where the name cannot be resolved.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver (getaddrinfo).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum NameError {
    /// It has no address.
    #[error("the host {0:?} has no address")]
    Unknown(String),
    /// It has an address that is not public.
    #[error("the host {0:?} is not on the public internet")]
    NotPublic(String),
}

/// A resolver that answers with public addresses only. One address that is not condemns the whole name.
#[derive(Clone)]
pub(super) struct Guarded {
    resolver: Arc<dyn Resolver>,
    reach: Reach,
}

impl Guarded {
    pub(super) fn new(resolver: Arc<dyn Resolver>, reach: Reach) -> Self {
        Self { resolver, reach }
    }

    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let addresses = self.resolver.resolve(host).await.unwrap_or_default();
        if addresses.is_empty() {
            Err(NameError::Unknown(host.to_owned()))
        } else if addresses.iter().all(|address| self.reach.includes(*address)) {
            Ok(addresses)
        } else {
            Err(NameError::NotPublic(host.to_owned()))
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guarded = self.clone();
        Box::pin(async move {
            let addresses = guarded.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
