//! Authorities and server certificates, good and bad ones.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SigningKey, date_time_ymd,
};
use x509_cert::certificate::{CertificateInner, Rfc5280, TbsCertificateInner, Version};
use x509_cert::der::asn1::BitString;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, Encode, EncodePem};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// What a server shows and signs with.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The server's certificate and the intermediates it sends, in PEM.
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Identity {
    /// Sends `intermediate` along.
    pub(crate) fn with(mut self, intermediate: &Authority) -> Self {
        self.chain.push_str(&intermediate.pem());
        self
    }
}

/// What an ordinary server's certificate says; `names` become alternative names.
pub(crate) fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<SanType> = names
        .iter()
        .map(|name| match IpAddr::from_str(name) {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Servers");
    params
}

/// A server's certificate that only its subject names.
pub(crate) fn common_name(name: &str) -> CertificateParams {
    let mut params = server(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Also marked as an authority.
pub(crate) fn as_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

pub(crate) fn not_yet_valid(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2200, 1, 1);
    params.not_after = date_time_ymd(2300, 1, 1);
    params
}

pub(crate) fn for_clients_only(mut params: CertificateParams) -> CertificateParams {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(crate) fn with_a_riddle(mut params: CertificateParams) -> CertificateParams {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn expired_root(name: &str) -> Authority {
    let params = expired(authority(name));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Self-signed and not marked as an authority, whatever it signs.
pub(crate) fn pretender(name: &str) -> Authority {
    let mut params = authority(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn intermediate(name: &str, issuer: &Authority) -> Authority {
    CertifiedIssuer::signed_by(authority(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

/// Marked as an end entity.
pub(crate) fn false_intermediate(name: &str, issuer: &Authority) -> Authority {
    let mut params = authority(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![];
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

/// May vouch for names below `domain` only.
pub(crate) fn narrow_intermediate(name: &str, domain: &str, issuer: &Authority) -> Authority {
    let mut params = authority(name);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: vec![],
    });
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

/// May sign servers only.
pub(crate) fn last_intermediate(name: &str, issuer: &Authority) -> Authority {
    let mut params = authority(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

pub(crate) fn issue(params: &CertificateParams, issuer: &Authority) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { chain: params.signed_by(&key, issuer).unwrap().pem(), key: key.serialize_pem() }
}

/// With an RSA key: other signature algorithms.
pub(crate) fn issue_rsa(params: &CertificateParams, issuer: &Authority) -> Identity {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    Identity { chain: params.signed_by(&key, issuer).unwrap().pem(), key: key.serialize_pem() }
}

pub(crate) fn self_sign(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A version 1 certificate, as `openssl x509 -req` makes: no extensions, so the subject is all there is.
pub(crate) fn issue_version_1(name: &str, issuer: &Authority) -> Identity {
    let key = KeyPair::generate().unwrap();
    let issuer_name = x509_cert::Certificate::from_der(issuer.der()).unwrap();
    let chain = version_1(name, &issuer_name.tbs_certificate.subject, Duration::from_hours(24), &key, issuer.key());
    Identity { chain, key: key.serialize_pem() }
}

pub(crate) fn issue_forged_version_1(name: &str, issuer: &Authority) -> Identity {
    let key = KeyPair::generate().unwrap();
    let issuer_name = x509_cert::Certificate::from_der(issuer.der()).unwrap();
    let chain = version_1(
        name,
        &issuer_name.tbs_certificate.subject,
        Duration::from_hours(24),
        &key,
        &KeyPair::generate().unwrap(),
    );
    Identity { chain, key: key.serialize_pem() }
}

fn version_1(name: &str, issuer: &Name, lifetime: Duration, key: &KeyPair, signer: &KeyPair) -> String {
    let algorithm = AlgorithmIdentifierOwned {
        // ecdsa-with-SHA256, rcgen's default.
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        parameters: None,
    };
    let body = TbsCertificateInner::<Rfc5280> {
        version: Version::V1,
        serial_number: SerialNumber::from(7_u8),
        signature: algorithm.clone(),
        issuer: issuer.clone(),
        validity: Validity::from_now(lifetime).unwrap(),
        subject: Name::from_str(&format!("CN={name}")).unwrap(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&key.subject_public_key_info()).unwrap(),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    };
    let signature = signer.sign(&body.to_der().unwrap()).unwrap();
    let certificate = CertificateInner {
        tbs_certificate: body,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).unwrap(),
    };
    certificate.to_pem(LineEnding::LF).unwrap()
}
