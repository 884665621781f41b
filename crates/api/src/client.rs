//! Whose request it is: the address behind the proxies.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::X_FORWARDED_FOR;
use ipnet::{IpNet, Ipv4Net};
use parlant_settings::FromSetting;

/// The proxies whose word counts on who their clients are. `Default` is none.
///
/// A trusted proxy is believed about the last entry of `X-Forwarded-For`, which it wrote itself; if that is a trusted
/// proxy as well, about the one before, and so on. So the client is the rightmost address that is not a trusted
/// proxy's, and nothing to the left of it is looked at: anybody can write that. `Forwarded` (RFC 7239) is not read:
/// a proxy that passes on a client's own while writing only `X-Forwarded-For` would make the client credible.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that sent the request; `None` where connections have no addresses.
    pub(crate) fn client(&self, request: &ServiceRequest) -> Option<IpAddr> {
        let mut client = request.peer_addr()?.ip().to_canonical();
        if self.trusts(client) {
            let lines: Vec<_> = request.headers().get_all(X_FORWARDED_FOR).collect();
            let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
            for hop in hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
                // What a proxy does not tell, or not intelligibly, is asked on the proxy's own account.
                let Some(address) = address(hop) else { break };
                client = address;
                if !self.trusts(client) {
                    break;
                }
            }
        }
        Some(client)
    }
}

/// An address, with or without a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let bare = || text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok();
    let address = bare().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| network(entry).ok_or(())).collect::<Result<_, _>>().map(Self)
    }
}

impl FromSetting for TrustedProxies {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|()| "must be addresses and networks, such as `10.0.0.0/8, fd00::/8, 192.0.2.7`".to_owned())
    }
}

/// A network or a single address. An IPv4 one that is written as IPv6 is IPv4: so addresses are compared.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut request = TestRequest::get().peer_addr(SocketAddr::new(peer.parse().unwrap(), 4711));
        for line in forwarded {
            request = request.append_header((X_FORWARDED_FOR, *line));
        }
        let proxies: TrustedProxies = trusted.parse().unwrap();
        proxies.client(&request.to_srv_request()).unwrap().to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        for forwarded in [&["198.51.100.1"][..], &["10.0.0.1"], &["127.0.0.1, 10.0.0.9"], &["10.0.0.9", "x"]] {
            assert_eq!(client("", "203.0.113.5", forwarded), "203.0.113.5");
            assert_eq!(client("10.0.0.0/8", "203.0.113.5", forwarded), "203.0.113.5");
        }
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", "10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", "10.1.2.4", &["198.51.100.1"]), "10.1.2.4");
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_trusted_proxy() {
        let client = |forwarded: &[&str]| client("10.0.0.0/8, 2001:db8:aa::/48", "10.0.0.1", forwarded);
        for (forwarded, expected) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["198.51.100.1"], "198.51.100.1"),
            // What the client wrote itself is to the left of what the proxy saw.
            (&["127.0.0.1, 10.9.9.9, 198.51.100.1"], "198.51.100.1"),
            (&["203.0.113.1, 198.51.100.1, 10.0.0.2, 10.0.0.3"], "198.51.100.1"),
            (&["203.0.113.1, 198.51.100.1, 2001:db8:aa::7, 10.0.0.3"], "198.51.100.1"),
            // Several headers are one list.
            (&["203.0.113.1", "198.51.100.1", "10.0.0.3"], "198.51.100.1"),
            (&["203.0.113.1, 198.51.100.1", "10.0.0.2,10.0.0.3"], "198.51.100.1"),
            (&["203.0.113.1, 198.51.100.1, , "], "198.51.100.1"),
            // Nobody but proxies: the farthest.
            (&["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ] {
            assert_eq!(client(forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn every_usual_spelling_is_understood_and_garbage_is_the_proxys() {
        let client = |entry: &str| client("10.0.0.0/8", "10.0.0.1", &[&format!("203.0.113.1, {entry}, 10.0.0.2")]);
        for (entry, expected) in [
            ("198.51.100.1:8080", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
        ] {
            assert_eq!(client(entry), expected, "{entry}");
        }
        let long = "1".repeat(5000);
        for garbage in ["unknown", "_hidden", "198.51.100.1.5", "198.51.100", "1 2", "fe80::1%eth0", "a.example", &long]
        {
            assert_eq!(client(garbage), "10.0.0.2", "{garbage}");
        }
    }

    #[test]
    fn ipv4_is_the_same_in_ipv6_clothes() {
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.0/104", "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.0/104", "11.0.0.1", &["198.51.100.1"]), "11.0.0.1");
        assert_eq!(client("", "::ffff:10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::/0", "10.0.0.1", &["198.51.100.1"]), "10.0.0.1", "a network of IPv6 only");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["nginx", "10.0.0.0/33", "10.0.0", "*", "10.0.0.1-10.0.0.9", "10.0.0.1;10.0.0.2"] {
            assert!(bad.parse::<TrustedProxies>().is_err(), "{bad}");
        }
        assert_eq!("10.0.0.1,, fd00::/8 ,".parse::<TrustedProxies>().unwrap().0.len(), 2);
    }
}
