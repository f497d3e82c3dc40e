//! TLS 1.2 and 1.3 for providers over HTTP: whom the owner trusts, and a connection that speaks it.
//!
//! With a pin the server's key is what counts, and nothing else of its certificate. That it has the secret half is proved by the
//! handshake all the same.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore};
use rustls::{SignatureScheme, StreamOwned};
use sha2::Digest as _;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::error::{Error, ErrorKind};
use super::retry::Failed;
use crate::fsutil;
use crate::limits::CA_FILE_BYTES_MAX;
use crate::provider::{Pin, Trust};

/// Where systems keep the certificates that they trust; the first that is there counts.
const CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Wraps a connection in TLS where the address asks for it.
#[derive(Debug)]
pub(super) struct TlsConnector(Option<Arc<ClientConfig>>);

impl TlsConnector {
    /// Without: an address that asks for it is an error.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(trust: &Trust) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder =
            builder.map_err(|error| Error::new(ErrorKind::Io, format!("there is no TLS in this program: {error}")))?;
        let config = match trust {
            Trust::System => builder.with_root_certificates(roots(None)?),
            Trust::File(file) => builder.with_root_certificates(roots(Some(file))?),
            Trust::Pin(pin) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pin: *pin, provider }))
            }
        };
        Ok(Self(Some(Arc::new(config.with_no_client_auth()))))
    }
}

/// The certificates that are trusted, for who does not speak HTTP: those in the file, or the system's.
#[cfg(feature = "email")]
pub fn trusted_certificates(file: Option<&Path>) -> Result<Vec<Vec<u8>>, Error> {
    let (pem, _) = pem(file)?;
    let is_usable = |der: &CertificateDer<'static>| RootCertStore::empty().add(der.clone()).is_ok();
    let usable = CertificateDer::pem_slice_iter(&pem).flatten().filter(is_usable);
    Ok(usable.map(|der| der.as_ref().to_vec()).collect())
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, Error> {
    let (pem, path) = pem(file)?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if added == 0 {
        return Err(unreadable(&path, io::Error::new(io::ErrorKind::InvalidData, "no certificate is in it")));
    }
    Ok(roots)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::io(format!("can't read the trusted certificates in {}", path.display()), error)
        .advise("see `tls_ca` of the target in the configuration")
}

/// What is in that file, or in the system's, and which that is.
fn pem(file: Option<&Path>) -> Result<(Vec<u8>, PathBuf), Error> {
    let variable = || std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let of_the_system = || CA_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
    let path = file.map(PathBuf::from).or_else(variable).or_else(of_the_system);
    let Some(path) = path else {
        return Err(Error::new(ErrorKind::Unreachable, "this system has no file of trusted certificates")
            .advise("install ca-certificates, or name a file of certificates with `tls_ca`"));
    };
    let pem = fsutil::read_small(&path, CA_FILE_BYTES_MAX).map_err(|error| unreadable(&path, error))?;
    Ok((pem, path))
}

/// Trusts one key.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

/// The key that a server has in place of the right one.
#[derive(Debug)]
struct OtherKey(Pin);

impl std::fmt::Display for OtherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its key is {}", self.0)
    }
}

impl std::error::Error for OtherKey {}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let found = Pin(sha2::Sha256::digest(key.as_ref()).into());
        if found == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(OtherKey(found)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, Tls>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let Some(config) = self.0.as_ref().filter(|_| details.needs_tls()) else {
            return Ok(Some(Either::A(transport)));
        };
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::HostNotFound)?;
        let mut conn = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Tls { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// A connection that speaks TLS.
pub(super) struct Tls {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// What went wrong, if it is TLS: what reads and writes hands it on wrapped in an error of I/O.
pub(super) fn failure(error: &io::Error, what: &str) -> Option<Failed> {
    Some(failed(error.get_ref()?.downcast_ref::<rustls::Error>()?, what))
}

/// A certificate that nobody vouches for stays so; a line that garbles a record does not.
fn failed(error: &rustls::Error, what: &str) -> Failed {
    use rustls::AlertDescription::{HandshakeFailure, ProtocolVersion};
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    use rustls::Error::{AlertReceived, InvalidCertificate, PeerIncompatible};
    let told = |kind| Error::new(kind, format!("{what}: {error}"));
    match error {
        InvalidCertificate(CertificateError::Other(other)) if other.0.is::<OtherKey>() => {
            let why = format!("{what}: the server is another one than `tls_pin` says, {}", other.0);
            Failed::ForGood(Error::new(ErrorKind::Refused, why).advise(
                "somebody may be in between; if the server's owner changed its key, `tls_pin` is to be that one",
            ))
        }
        InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => {
            Failed::ForGood(told(ErrorKind::Refused).advise(
                "is the clock of this box right? if it is, whoever runs the server must renew its certificate",
            ))
        }
        InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Failed::ForGood(told(ErrorKind::Refused).advise(
                "the address must be one of those that the certificate is for; if it is your own server, `tls_pin` with its key does",
            ))
        }
        InvalidCertificate(_) => Failed::ForGood(told(ErrorKind::Refused).advise(
            "a certificate of your own is trusted if `tls_ca` names the file that it, or what signed it, is in, or `tls_pin` its key",
        )),
        PeerIncompatible(_) | AlertReceived(HandshakeFailure | ProtocolVersion) => {
            Failed::ForGood(told(ErrorKind::Unreachable).advise("does it speak TLS 1.2 or 1.3 at this address?"))
        }
        _ => Failed::ForNow(told(ErrorKind::Unreachable).advise(
            "does it speak TLS at this address and port? write http:// in place of https:// if not",
        ), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_apart() {
        for (error, advice) in [
            (CertificateError::NotValidYet, "is the clock of this box right?"),
            (CertificateError::Expired, "must renew its certificate"),
            (CertificateError::NotValidForName, "the address must be one of those"),
            (CertificateError::UnknownIssuer, "`tls_ca`"),
        ] {
            let Failed::ForGood(told) = failed(&rustls::Error::InvalidCertificate(error), "can't") else { panic!() };
            assert!(told.kind == ErrorKind::Refused && told.hint().unwrap().contains(advice), "{told:?}");
        }
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let Failed::ForNow(told, _) = failed(&plain, "can't") else { panic!() };
        assert!(told.is_of_the_way() && told.hint().unwrap().contains("http://"), "{told:?}");
    }
}
