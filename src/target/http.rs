//! HTTP as providers need it: one client with time-outs for everything, the certificates that are trusted, and errors that tell apart what
//! an owner must do.
//!
//! No redirect is followed: credentials go to the host that the configuration names and to no other.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::http;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, SendBody};

use super::error::{Error, ErrorKind};
use super::retry::Failed;
use super::way::Way;
use crate::fsutil;
use crate::limits::{ANSWER_BYTES_MAX, CA_FILE_BYTES_MAX};

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a byte of an answer: a provider may have to store 64 MB before the first.
const ANSWER: Duration = Duration::from_secs(300);
/// Without a byte of a request taken.
const IDLE: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 16 * 1024;
/// Where systems keep the certificates that they trust; the first that is there counts.
const CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// What a server says, and what it sends.
pub(super) type Answer = http::Response<Body>;

/// A client for one provider.
pub(super) struct Http {
    agent: Agent,
    way: Way,
}

impl Http {
    /// With the certificates of a file, or of the system, if it needs any.
    pub(super) fn new(is_tls: bool, ca_file: Option<&Path>, way: Way) -> Result<Self, Error> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // That of the environment is for people: it would see what goes over http.
            .proxy(None)
            .max_redirects_will_error(false)
            .user_agent(concat!("brackup/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER))
            .timeout_per_write(Some(IDLE))
            .max_idle_connections(4)
            .max_idle_connections_per_host(4)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES);
        if is_tls {
            let tls = TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .root_certs(RootCerts::from(trusted(ca_file)?))
                .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
            config = config.tls_config(tls.build());
        }
        Ok(Self { agent: config.build().new_agent(), way })
    }

    /// Sends a request. What comes back may be an answer of any status.
    pub(super) fn send<'a>(
        &self,
        request: http::Request<()>,
        body: Option<&'a mut (dyn Read + 'a)>,
        what: &str,
    ) -> Result<Answer, Failed> {
        // A body borrows; that there is none does not: two types.
        let mut body = body.map(|body| self.way.carry(body));
        let answer = match &mut body {
            Some(reader) => self.agent.run(request.map(|()| SendBody::from_reader(reader))),
            None => self.agent.run(request.map(|()| SendBody::none())),
        };
        answer.map_err(|error| failed(error, what))
    }
}

impl Http {
    /// The body of an answer, however long it is.
    pub(super) fn body(&self, answer: Answer) -> Box<dyn Read> {
        Box::new(self.way.carry(answer.into_body().into_with_config().limit(u64::MAX).reader()))
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// The text of a short answer. Longer ones are cut: it is for people or not what was asked for.
pub(super) fn text(response: &mut Answer) -> io::Result<String> {
    let mut bytes = Vec::new();
    response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a header, if it is text.
pub(super) fn header<'r>(response: &'r Answer, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// When a server wants to be asked again; its form as a date is not read, our own waiting does as well.
pub(super) fn retry_after(response: &Answer) -> Option<Duration> {
    header(response, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn trusted(ca_file: Option<&Path>) -> Result<Vec<Certificate<'static>>, Error> {
    let variable = || std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let of_the_system = || CA_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
    let path = ca_file.map(PathBuf::from).or_else(variable).or_else(of_the_system);
    let Some(path) = path else {
        return Err(Error::new(ErrorKind::Unreachable, "this system has no file of trusted certificates")
            .advise("install ca-certificates, or name a file of certificates with `tls_ca`"));
    };
    let failed = |error: io::Error| {
        Error::io(format!("can't read the trusted certificates in {}", path.display()), error)
            .advise("see `tls_ca` of the target in the configuration")
    };
    let pem = fsutil::read_small(&path, CA_FILE_BYTES_MAX).map_err(failed)?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = items.collect();
    if certificates.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "no certificate is in it")));
    }
    Ok(certificates)
}

/// What a failure below HTTP means.
fn failed(error: ureq::Error, what: &str) -> Failed {
    let told = |kind, why: &str, advice| Error::new(kind, format!("{what}: {why}")).advise(advice);
    let network = "is the network there, and is the target's address right?";
    match error {
        ureq::Error::HostNotFound => {
            Failed::ForNow(told(ErrorKind::Unreachable, "its host is not known", network), None)
        }
        ureq::Error::Timeout(_) => Failed::ForNow(told(ErrorKind::Unreachable, "no answer in time", network), None),
        // Of the body that was to be sent.
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
            Failed::ForGood(Error::io(what, error))
        }
        ureq::Error::Io(error) => match tls_error(&error) {
            Some(why) => failed_tls(what, &why),
            None => {
                let kind = if error.kind() == io::ErrorKind::Other { ErrorKind::Io } else { ErrorKind::Unreachable };
                Failed::ForNow(Error { kind, ..Error::io(what, error) }.advise(network), None)
            }
        },
        ureq::Error::Rustls(error) => failed_tls(what, &error),
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            Failed::ForNow(told(ErrorKind::Unreachable, &error.to_string(), network), None)
        }
        error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl) => {
            Failed::ForGood(told(ErrorKind::Unreachable, &error.to_string(), "is the target's address right?"))
        }
        error => Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {error}")), None),
    }
}

/// A reader of an answer hands on what rustls said wrapped in an error of I/O.
fn tls_error(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

/// A certificate that nobody vouches for stays so; a line that garbles a record does not.
fn failed_tls(what: &str, error: &rustls::Error) -> Failed {
    use rustls::AlertDescription::{HandshakeFailure, ProtocolVersion};
    use rustls::Error::{AlertReceived, InvalidCertificate, PeerIncompatible};
    let told = |kind| Error::new(kind, format!("{what}: {error}"));
    match error {
        InvalidCertificate(_) => Failed::ForGood(told(ErrorKind::Denied).advise(
            "a certificate of your own is trusted if `tls_ca` names the file that it, or what signed it, is in; a clock that is wrong makes certificates invalid",
        )),
        PeerIncompatible(_) | AlertReceived(HandshakeFailure | ProtocolVersion) => {
            Failed::ForGood(told(ErrorKind::Unreachable).advise("does it speak TLS 1.2 or 1.3 at this address?"))
        }
        _ => Failed::ForNow(told(ErrorKind::Unreachable), None),
    }
}

/// Reads what is left of an answer, so that its connection can be used again.
pub(super) fn drain(response: Answer) {
    let _ = io::copy(&mut response.into_body().into_reader().take(ANSWER_BYTES_MAX), &mut io::sink());
}
