//! What may stand in an address that a user or a model names, decided before any name is resolved.

use std::net::IpAddr;

use url::{Host, Url};

use super::{EgressError, Reach};

/// The longest address that is read, in bytes.
const MAX_URL_BYTES: usize = 8192;

/// The ports that may be asked for.
const PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// Names that mean this machine or this network: each refuses itself and everything below it.
const LOCAL_NAMES: [&str; 5] = ["localhost", "localdomain", "local", "internal", "home.arpa"];

/// Reads an address and refuses what could not be public whatever its name resolves to. The parser is WHATWG's, so that
/// every spelling of an IPv4 address (`0x7f.1`, `2130706433`, `127.1`, `127.0.0.1.`) is judged as the address it means.
pub(super) fn screen(url: &str, reach: Reach) -> Result<Url, EgressError> {
    bound(url)?;
    let url = Url::parse(url).map_err(|error| EgressError::Invalid(error.to_string()))?;
    screen_parsed(&url, reach)?;
    Ok(url)
}

/// As [`screen`], for an address that is already read.
pub(super) fn screen_parsed(url: &Url, reach: Reach) -> Result<(), EgressError> {
    bound(url.as_str())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EgressError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EgressError::Credentials);
    }
    let port = url.port_or_known_default().unwrap_or_default();
    if !PORTS.contains(&port) && !reach.includes_port(port) {
        return Err(EgressError::Port(port));
    }
    let public = match url.host() {
        Some(Host::Ipv4(address)) => reach.includes(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => reach.includes(IpAddr::V6(address)),
        Some(Host::Domain(name)) => !is_local_name(name),
        None => false,
    };
    if public { Ok(()) } else { Err(EgressError::NotPublic(url.host_str().unwrap_or_default().to_owned())) }
}

fn bound(url: &str) -> Result<(), EgressError> {
    if url.len() <= MAX_URL_BYTES {
        Ok(())
    } else {
        Err(EgressError::Invalid("it is longer than 8,192 bytes".to_owned()))
    }
}

/// Whether a name, in the lower case that the parser gives it, is of this machine or network. A name of one label is:
/// only a search list could complete it.
fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let within = |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || LOCAL_NAMES.into_iter().any(within)
}
