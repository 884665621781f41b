//! Whether a certificate is for a host, by libpq's rules (`fe-secure-common.c`, `fe-secure-openssl.c`).

use std::net::IpAddr;

use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::Parsed;

/// The alternative names decide. The common name counts only when no alternative name is of the host's kind (name
/// or address).
pub(super) fn is_for(certificate: &Parsed<'_>, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let Ok(alternatives) = certificate.get::<SubjectAltName>() else {
        return false;
    };
    let alternatives = alternatives.map(|names| names.0).unwrap_or_default();
    let mut common_name_counts = true;
    for alternative in &alternatives {
        match alternative {
            GeneralName::DnsName(name) => {
                common_name_counts &= address.is_some();
                if matches(name.as_str(), host) {
                    return true;
                }
            }
            GeneralName::IpAddress(bytes) => {
                common_name_counts &= address.is_none();
                let same = |address: IpAddr| match address {
                    IpAddr::V4(address) => bytes.as_bytes() == address.octets(),
                    IpAddr::V6(address) => bytes.as_bytes() == address.octets(),
                };
                if address.is_some_and(same) {
                    return true;
                }
            }
            _ => {}
        }
    }
    common_name_counts && common_name(certificate).is_some_and(|name| matches(&name, host))
}

/// Whether the common name is a host's name, and no alternative name is.
pub(super) fn relies_on_common_name(certificate: &Parsed<'_>) -> bool {
    let alternatives = certificate.get::<SubjectAltName>().ok().flatten();
    let named = |names: SubjectAltName| names.0.iter().any(|name| matches!(name, GeneralName::DnsName(_)));
    !alternatives.is_some_and(named) && common_name(certificate).is_some_and(|name| name.contains('.'))
}

fn common_name(certificate: &Parsed<'_>) -> Option<String> {
    let subject = &certificate.inner.tbs_certificate.subject;
    let mut attributes = subject.0.iter().flat_map(|name| name.0.iter());
    let value = &attributes.find(|attribute| attribute.oid == rfc4519::CN)?.value;
    let text = |text: &str| text.to_owned();
    (value.decode_as::<Utf8StringRef<'_>>().map(|value| text(value.as_str())))
        .or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|value| text(value.as_str())))
        .or_else(|_| value.decode_as::<Ia5StringRef<'_>>().map(|value| text(value.as_str())))
        .or_else(|_| value.decode_as::<TeletexStringRef<'_>>().map(|value| text(value.as_str())))
        .ok()
}

/// Equal but for case; a `*.` at the start stands for one label.
fn matches(pattern: &str, host: &str) -> bool {
    // A name that C would cut short is somebody's trick.
    if pattern.contains('\0') || host.is_empty() {
        return false;
    }
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    pattern.strip_prefix('*').is_some_and(|tail| {
        tail.len() > 1
            && tail.starts_with('.')
            && host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && tail[1..].eq_ignore_ascii_case(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_as_libpq_matches_them() {
        let cases = [
            ("db.example.com", "db.example.com", true),
            ("DB.Example.com", "db.exAMPLE.com", true),
            ("db.example.com", "db.example.org", false),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*", "example", false),
            ("*.", "example.", false),
            ("d*.example.com", "db.example.com", false),
            ("db.*.com", "db.example.com", false),
            ("db.example.com\0.evil.org", "db.example.com", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("", "", false),
        ];
        for (pattern, host, expected) in cases {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
