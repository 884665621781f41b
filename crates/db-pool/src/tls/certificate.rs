//! What a certificate says, for the cases that webpki does not read or does not know.

use rustls::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::{AssociatedOid, db::rfc5280};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

pub(super) struct Parsed<'a> {
    der: &'a [u8],
    /// What the issuer signed.
    signed: &'a [u8],
    pub(super) inner: Certificate,
}

impl<'a> Parsed<'a> {
    pub(super) fn new(der: &'a [u8]) -> Option<Self> {
        let signed = SliceReader::new(der)
            .and_then(|mut reader| {
                reader.sequence(|sequence| {
                    let signed = sequence.tlv_bytes()?;
                    sequence.tlv_bytes()?;
                    sequence.tlv_bytes()?;
                    Ok(signed)
                })
            })
            .ok()?;
        let inner = Certificate::from_der(der).ok()?;
        Some(Self { der, signed, inner })
    }

    pub(super) fn is(&self, der: &[u8]) -> bool {
        self.der == der
    }

    pub(super) fn equals(&self, other: &Parsed<'_>) -> bool {
        self.is(other.der)
    }

    pub(super) fn is_version_1(&self) -> bool {
        self.inner.tbs_certificate.version == Version::V1
    }

    pub(super) fn is_self_issued(&self) -> bool {
        let body = &self.inner.tbs_certificate;
        body.subject == body.issuer
    }

    pub(super) fn is_issued_by(&self, other: &Self) -> bool {
        self.inner.tbs_certificate.issuer == other.inner.tbs_certificate.subject
    }

    pub(super) fn is_valid_at(&self, now: UnixTime) -> bool {
        let validity = &self.inner.tbs_certificate.validity;
        let now = now.as_secs();
        validity.not_before.to_unix_duration().as_secs() <= now
            && now <= validity.not_after.to_unix_duration().as_secs()
    }

    /// Whether it is marked as an authority.
    pub(super) fn is_authority(&self) -> bool {
        self.get::<BasicConstraints>().is_ok_and(|found| found.is_some_and(|constraints| constraints.ca))
    }

    /// Whether it may sign certificates, with `below` intermediates under it. OpenSSL's rule: an authority by its
    /// constraints, or, without any, a self-signed version 1 certificate or one whose key usage says so.
    pub(super) fn may_issue(&self, below: usize) -> bool {
        let (Ok(constraints), Ok(usage)) = (self.get::<BasicConstraints>(), self.get::<KeyUsage>()) else {
            return false;
        };
        if usage.as_ref().is_some_and(|usage| !usage.key_cert_sign()) {
            return false;
        }
        match constraints {
            Some(constraints) => {
                let limit = constraints.path_len_constraint;
                constraints.ca && limit.is_none_or(|limit| below <= usize::from(limit))
            }
            None => usage.is_some() || (self.is_version_1() && self.is_self_issued()),
        }
    }

    /// Whether it may stand for a server.
    pub(super) fn may_serve(&self) -> bool {
        self.get::<ExtendedKeyUsage>().is_ok_and(|usage| {
            usage.is_none_or(|usage| {
                usage.0.contains(&rfc5280::ID_KP_SERVER_AUTH) || usage.0.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
            })
        })
    }

    /// Whether it may vouch for some names only.
    pub(super) fn constrains_names(&self) -> bool {
        let extensions = self.inner.tbs_certificate.extensions.as_deref().unwrap_or_default();
        extensions.iter().any(|extension| extension.extn_id == rfc5280::ID_CE_NAME_CONSTRAINTS)
    }

    /// Whether everything in it that must be understood is looked at here.
    pub(super) fn is_understood(&self) -> bool {
        const KNOWN: [ObjectIdentifier; 4] =
            [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, SubjectAltName::OID];
        let extensions = self.inner.tbs_certificate.extensions.as_deref();
        extensions.unwrap_or_default().iter().all(|extension| {
            // Names that an authority may not vouch for are webpki's to judge.
            KNOWN.contains(&extension.extn_id)
                || (!extension.critical && extension.extn_id != rfc5280::ID_CE_NAME_CONSTRAINTS)
        })
    }

    /// Whether the key of `issuer` signed it.
    pub(super) fn is_signed_by(&self, issuer: &Self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let Some(signature) = self.inner.signature.as_bytes() else {
            return false;
        };
        let used = self.inner.signature_algorithm.to_der();
        let same = self.inner.signature_algorithm == self.inner.tbs_certificate.signature;
        same && algorithms.iter().any(|algorithm| {
            used.as_ref().is_ok_and(|used| content(used) == Some(algorithm.signature_alg_id().as_ref()))
                && issuer.verifies(*algorithm, self.signed, signature)
        })
    }

    /// Its public key, as DER.
    pub(super) fn key(&self) -> Vec<u8> {
        let key = &self.inner.tbs_certificate.subject_public_key_info;
        key.to_der().unwrap_or_default()
    }

    /// Whether its key made `signature` by `algorithm`.
    pub(super) fn verifies(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = &self.inner.tbs_certificate.subject_public_key_info;
        let kind = key.algorithm.to_der();
        let Some(bits) = key.subject_public_key.as_bytes() else {
            return false;
        };
        kind.is_ok_and(|kind| content(&kind) == Some(algorithm.public_key_alg_id().as_ref()))
            && algorithm.verify_signature(bits, message, signature).is_ok()
    }

    pub(super) fn get<T: for<'d> Decode<'d> + AssociatedOid>(&self) -> Result<Option<T>, x509_cert::der::Error> {
        let found = self.inner.tbs_certificate.get::<T>()?;
        Ok(found.map(|(_critical, extension)| extension))
    }
}

/// The inside of a sequence: how rustls writes algorithm identifiers.
fn content(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = x509_cert::der::Header::decode(&mut reader).ok()?;
    reader.read_slice(header.length).ok()
}
