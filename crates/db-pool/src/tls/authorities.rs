//! Whether a certificate was signed by somebody who is trusted.
//!
//! webpki decides wherever it can. It knows neither version 1 certificates (which `openssl x509 -req` makes, as in
//! PostgreSQL's own manual), nor servers that show an authority's certificate, their own root above all
//! (Debian's snakeoil, many images): for those, and only those, the path is walked here, by OpenSSL's rules.

use std::cell::Cell;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::certificate::Parsed;
use super::names;

/// The most certificates between a server's and a root.
const MAX_DEPTH: usize = 6;
/// The most signatures checked for one path: a server chooses how many certificates it sends.
const MAX_SIGNATURES: u32 = 32;

/// The certificates that a user trusts.
#[derive(Debug)]
pub(super) struct Authorities {
    all: Vec<CertificateDer<'static>>,
    /// Those at which a path may end. As in OpenSSL, only a self-signed one is a root.
    anchors: Vec<(CertificateDer<'static>, TrustAnchor<'static>)>,
}

impl Authorities {
    /// None when none of `certificates` can be read.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let all: Vec<_> = certificates.into_iter().filter(|certificate| Parsed::new(certificate).is_some()).collect();
        if all.is_empty() {
            return None;
        }
        let anchors = all
            .iter()
            .filter(|root| Parsed::new(root).is_some_and(|root| root.is_self_issued() && root.may_issue(0)))
            .filter_map(|root| {
                let mut store = RootCertStore::empty();
                store.add(root.clone()).ok()?;
                Some((root.clone(), store.roots.pop()?))
            })
            .collect();
        Some(Self { all, anchors })
    }

    /// Whether any of them, or of those that were sent, may vouch for some names only.
    fn constrain_names(&self, sent: &[CertificateDer<'_>]) -> bool {
        let constrains = |one: &CertificateDer<'_>| Parsed::new(one).is_none_or(|one| one.constrains_names());
        sent.iter().any(constrains) || self.all.iter().any(constrains)
    }

    fn is_anchor(&self, certificate: &CertificateDer<'_>) -> bool {
        self.anchors.iter().any(|(anchor, _)| anchor == certificate)
    }

    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Result<(), Error> {
        let leaf = Parsed::new(end_entity).ok_or(CertificateError::BadEncoding)?;
        let beyond_webpki = leaf.is_version_1() || leaf.is_authority() || self.all.iter().any(|root| leaf.is(root));
        if beyond_webpki {
            let walk = Walk::new(self, sent, now, algorithms);
            return walk.from(&leaf).map_err(Error::InvalidCertificate);
        }
        let trusted = self.all.iter().filter(|one| !self.is_anchor(one));
        // webpki holds alternative names against such constraints, and common names not.
        if names::relies_on_common_name(&leaf) && self.constrain_names(sent) {
            return Err(CertificateError::NotValidForName.into());
        }
        let intermediates: Vec<_> = sent.iter().chain(trusted).cloned().collect();
        // webpki takes an anchor at its word; OpenSSL looks at its dates, too.
        let current = |root: &CertificateDer<'_>| Parsed::new(root).is_some_and(|root| root.is_valid_at(now));
        let roots = RootCertStore {
            roots: self.anchors.iter().filter(|(root, _)| current(root)).map(|(_, anchor)| anchor.clone()).collect(),
        };
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            &intermediates,
            now,
            algorithms,
        )
    }
}

/// One search for a path to a root.
struct Walk<'a> {
    roots: Vec<Parsed<'a>>,
    intermediates: Vec<Parsed<'a>>,
    now: UnixTime,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    signatures_left: Cell<u32>,
}

impl<'a> Walk<'a> {
    fn new(
        authorities: &'a Authorities,
        sent: &'a [CertificateDer<'_>],
        now: UnixTime,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        let parse = |certificate: &'a CertificateDer<'_>| Parsed::new(certificate);
        let (roots, trusted): (Vec<_>, Vec<_>) =
            authorities.all.iter().filter_map(parse).partition(Parsed::is_self_issued);
        Self {
            roots,
            intermediates: sent.iter().filter_map(parse).chain(trusted).collect(),
            now,
            algorithms,
            signatures_left: Cell::new(MAX_SIGNATURES),
        }
    }

    fn from(&self, leaf: &Parsed<'_>) -> Result<(), CertificateError> {
        if !leaf.may_serve() {
            return Err(CertificateError::InvalidPurpose);
        }
        self.climb(leaf, 0)
    }

    /// From `certificate`, which has `below` intermediates under it, to a root.
    fn climb(&self, certificate: &Parsed<'_>, below: usize) -> Result<(), CertificateError> {
        if !certificate.is_valid_at(self.now) {
            return Err(CertificateError::Expired);
        }
        if !certificate.is_understood() {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
        if self.roots.iter().any(|root| root.equals(certificate)) {
            return Ok(());
        }
        let issues = |issuer: &&Parsed<'a>| {
            certificate.is_issued_by(issuer)
                && issuer.may_issue(below)
                && issuer.is_understood()
                && issuer.is_valid_at(self.now)
                && self.spend_signature()
                && certificate.is_signed_by(issuer, self.algorithms)
        };
        if self.roots.iter().any(|root| issues(&root)) {
            return Ok(());
        }
        if below < MAX_DEPTH
            && self.intermediates.iter().filter(issues).any(|issuer| self.climb(issuer, below + 1).is_ok())
        {
            return Ok(());
        }
        Err(CertificateError::UnknownIssuer)
    }

    fn spend_signature(&self) -> bool {
        let left = self.signatures_left.get();
        self.signatures_left.set(left.saturating_sub(1));
        left > 0
    }
}
