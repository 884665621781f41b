//! What rustls asks about a server: libpq's answers.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::authorities::Authorities;
use super::certificate::Parsed;
use super::names;

#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    authorities: Option<Authorities>,
    check_name: bool,
}

impl Verifier {
    /// Without `authorities`, any certificate will do, as long as the server has its key.
    pub(super) fn new(provider: &CryptoProvider, authorities: Option<Authorities>, check_name: bool) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, authorities, check_name }
    }

    /// For a certificate that webpki does not read (version 1), in TLS 1.2.
    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &Parsed<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut schemes = self.algorithms.mapping.iter();
        let algorithms = schemes.find(|(scheme, _)| *scheme == signed.scheme);
        algorithms
            .into_iter()
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| certificate.verifies(*algorithm, message, signed.signature()))
            .then(HandshakeSignatureValid::assertion)
            .ok_or(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            authorities.verify(end_entity, intermediates, now, self.algorithms.all)?;
        }
        if self.check_name {
            let certificate = Parsed::new(end_entity).ok_or(CertificateError::BadEncoding)?;
            if !names::is_for(&certificate, &server_name.to_str()) {
                return Err(CertificateError::NotValidForName.into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match beyond_webpki(cert) {
            Some(certificate) => self.verify_signature(message, &certificate, dss),
            None => verify_tls12_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match beyond_webpki(cert) {
            Some(certificate) => {
                let key = SubjectPublicKeyInfoDer::from(certificate.key());
                verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
            }
            None => verify_tls13_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate, if webpki cannot read it and we can.
fn beyond_webpki<'a>(certificate: &'a CertificateDer<'_>) -> Option<Parsed<'a>> {
    match ParsedCertificate::try_from(certificate) {
        Ok(_) => None,
        Err(_) => Parsed::new(certificate),
    }
}
