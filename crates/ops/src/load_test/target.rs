use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Error;

/// Longest wait for a name's addresses.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Where requests are sent: an origin, and the addresses that its name had when it was looked up. It is not looked up
/// again, so that nothing can move the load elsewhere.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) https: bool,
    pub(super) host: String,
    /// The value of `Host`.
    pub(super) authority: String,
    /// What comes before each scenario's path; does not end with a slash.
    prefix: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Target {
    /// Resolves `url`, `http(s)://host[:port][/prefix]`.
    ///
    /// # Errors
    /// When it is no such address, or its name cannot be resolved; without `allow_remote` also when any of its
    /// addresses is another machine's.
    pub async fn resolve(url: &str, allow_remote: bool) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|_| Error::Address("is not a URL such as http://127.0.0.1:8001"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Error::Address("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or(Error::Address("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(Error::Address("must not carry credentials"));
        }
        if uri.query().is_some() {
            return Err(Error::Address("must not have a query; paths are the scenarios'"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let lookup = timeout(RESOLVE_LIMIT, lookup_host((host.clone(), port))).await;
        let found = lookup.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses: Vec<_> = match found {
            Ok(addresses) => addresses.collect(),
            Err(source) => return Err(Error::Resolve { host, source }),
        };
        let remote = addresses.iter().map(SocketAddr::ip).find(|address| !address.to_canonical().is_loopback());
        match remote {
            Some(address) if !allow_remote => Err(Error::Remote { host, address }),
            _ => Ok(Self {
                https,
                host,
                authority: authority.to_string(),
                prefix: uri.path().trim_end_matches('/').to_owned(),
                addresses,
            }),
        }
    }

    /// The path that a request for `path` asks for.
    pub(super) fn path(&self, path: &PathAndQuery) -> Option<Uri> {
        format!("{}{path}", self.prefix).parse().ok()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}
