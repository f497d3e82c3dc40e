//! HTTP as providers need it: one client with time-outs for everything, and errors that tell apart what an owner must do.
//!
//! No redirect is followed: credentials go to the host that the configuration names and to no other.

use std::io::{self, Read};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ureq::http;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, Body, SendBody};

use super::error::{Error, ErrorKind};
use super::resolver::Resolver;
use super::retry::Failed;
use super::steady::Steady;
use super::tls::{self, TlsConnector};
use super::way::Way;
use crate::date::Utc;
#[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav"))]
use crate::limits::ANSWER_BYTES_MAX;
use crate::provider::Trust;

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a byte of an answer: a provider may have to store 64 MB before the first.
const ANSWER: Duration = Duration::from_secs(300);
/// For each 64 KiB of a body that comes: slower is no line.
pub(super) const CRAWL: Duration = Duration::from_secs(600);
/// Without a byte of a request taken.
const IDLE: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 16 * 1024;
pub(super) const NETWORK: &str = "is the network there, and is the target's address right?";
const NAME: &str =
    "is the name of the host right, and can this box look up names? (names that end in .local are known to few)";
/// For all of a short answer, on a line that is slow.
const SHORT_ANSWER: Duration = Duration::from_secs(600);
/// What is read of an answer that nobody wants, to use its connection again.
const DRAINED: Duration = Duration::from_secs(5);
const DRAINED_BYTES_MAX: u64 = 64 * 1024;
/// What to do when a server says that it is busy, or being looked after.
pub(super) const LATER: &str = "it may do later: the next run goes on from here";

/// What to do when it has no room.
#[cfg(any(feature = "s3", feature = "webdav"))]
pub(super) const SPACE: &str = "free some space there, or raise the quota; what was stored is used by the next run";

/// What a server says, and what it sends.
pub(super) type Answer = http::Response<Body>;

/// A client for one provider.
pub(super) struct Http {
    agent: Agent,
    resolver: Resolver,
    way: Way,
    /// The date of the last answer that had one, and when it came.
    dated: Mutex<Option<(SystemTime, Instant)>>,
}

impl Http {
    /// Over TLS it talks to whom is trusted.
    pub(super) fn new(is_tls: bool, trust: &Trust, way: Way) -> Result<Self, Error> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // That of the environment is for people: it would see what goes over http.
            .proxy(None)
            .max_redirects_will_error(false)
            // Those of WebDAV.
            .allow_non_standard_methods(true)
            .user_agent(concat!("brackup/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(way.patience(CONNECT)))
            .timeout_connect(Some(way.patience(CONNECT)))
            .timeout_recv_response(Some(way.patience(ANSWER)))
            .timeout_per_read(Some(way.patience(ANSWER)))
            .timeout_per_write(Some(way.patience(IDLE)))
            .max_idle_connections(4)
            .max_idle_connections_per_host(4)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES);
        let tls = if is_tls { TlsConnector::new(trust)? } else { TlsConnector::none() };
        let connector = ().chain(TcpConnector::default()).chain(tls);
        let resolver = Resolver::of_system();
        let agent = Agent::with_parts(config.build(), connector, resolver.clone());
        Ok(Self { agent, resolver, way, dated: Mutex::default() })
    }

    /// Sends a request with a body, and has an answer, in so much time in all.
    pub(super) fn send_within(
        &self,
        request: http::Request<()>,
        mut body: &mut dyn Read,
        what: &str,
        within: Duration,
    ) -> Result<Answer, Failed> {
        let request = request.map(|()| SendBody::from_reader(&mut body));
        let request = self.agent.configure_request(request).timeout_global(Some(within)).build();
        self.agent.run(request).map_err(|error| failed(error, what))
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
        let mut answer = answer.map_err(|error| {
            self.resolver.doubt();
            failed(error, what)
        })?;
        // Whoever reads it goes the same way.
        answer.extensions_mut().insert(self.way.clone());
        if let Some(date) = header(&answer, "date").and_then(Utc::parse_http) {
            let since = Duration::from_secs(u64::try_from(date.to_unix()).unwrap_or(0));
            *self.dated() = Some((UNIX_EPOCH + since, Instant::now()));
        }
        Ok(answer)
    }

    /// What the server's clock shows, by its last answer (RFC 9110 section 6.6.1). It has answered before: whoever asks has looked for
    /// the target's id.
    pub(super) fn clock(&self, place: &str) -> Result<SystemTime, Error> {
        let told = self.dated().map(|(date, came)| date + came.elapsed());
        told.ok_or_else(|| {
            Error::new(ErrorKind::Io, format!("{place} does not say what time it is: no answer of it has a Date"))
        })
    }

    fn dated(&self) -> std::sync::MutexGuard<'_, Option<(SystemTime, Instant)>> {
        // A panic elsewhere does not make a date wrong.
        self.dated.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Http {
    /// The body of an answer, however long it is.
    pub(super) fn body(&self, answer: Answer) -> Box<dyn Read> {
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        Box::new(self.way.carry(Steady::over(body, self.way.patience(CRAWL))))
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// The text of a short answer. Longer ones are cut: it is for people or not what was asked for.
#[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav"))]
pub(super) fn text(response: &mut Answer) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&short(response, ANSWER_BYTES_MAX)?).into_owned())
}

/// What a short answer has, up to so many bytes.
pub(super) fn short(response: &mut Answer, most: u64) -> io::Result<Vec<u8>> {
    let way = response.extensions().get::<Way>().cloned().unwrap_or_default();
    let body = way.carry(response.body_mut().as_reader());
    let mut bytes = Vec::new();
    Until { body, end: Instant::now() + SHORT_ANSWER }.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What became of an answer that broke off while it was read.
pub(super) fn cut(what: &str) -> impl FnOnce(io::Error) -> Failed {
    move |error| Failed::ForNow(Error::io(what, error), None)
}

/// The value of a header, if it is text.
pub(super) fn header<'r>(response: &'r Answer, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// When a server wants to be asked again: seconds, or a time by its own clock (RFC 9110, section 10.2.3).
pub(super) fn retry_after(response: &Answer) -> Option<Duration> {
    let time = |name| Utc::parse_http(header(response, name)?).map(Utc::to_unix);
    let seconds = header(response, "retry-after")?.trim().parse().ok();
    let seconds = seconds.or_else(|| u64::try_from(time("retry-after")? - time("date")?).ok());
    seconds.map(Duration::from_secs)
}

/// That, by a refusal. One that has too much to do is not asked at once, whether it says when or not.
#[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
pub(super) fn wish(status: u16, retry_after: Option<Duration>) -> Option<Duration> {
    retry_after.or_else(|| matches!(status, 423 | 429 | 503).then_some(Duration::ZERO))
}

/// What a failure below HTTP means.
fn failed(error: ureq::Error, what: &str) -> Failed {
    let told = |kind, why: &str, advice| Error::new(kind, format!("{what}: {why}")).advise(advice);
    let network = NETWORK;
    match error {
        ureq::Error::HostNotFound => Failed::ForNow(told(ErrorKind::Unreachable, "its host is not known", NAME), None),
        ureq::Error::Timeout(_) => Failed::ForNow(told(ErrorKind::Unreachable, "no answer in time", network), None),
        // Of the body that was to be sent.
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
            Failed::ForGood(Error::io(what, error))
        }
        ureq::Error::Io(error) => match tls::failure(&error, what) {
            Some(failed) => failed,
            None => {
                let kind = if error.kind() == io::ErrorKind::Other { ErrorKind::Io } else { ErrorKind::Unreachable };
                let advice = advice(&error);
                Failed::ForNow(Error { kind, ..Error::io(what, error) }.advise(advice), None)
            }
        },
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            Failed::ForNow(told(ErrorKind::Unreachable, &error.to_string(), network), None)
        }
        error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl) => {
            Failed::ForGood(told(ErrorKind::Unreachable, &error.to_string(), "is the target's address right?"))
        }
        error => Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {error}")), None),
    }
}

/// What to do about what the system says of a connection.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing answers at this port: does the server run, and is the port right?",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            "is the network there? is the address in another one than it was?"
        }
        // What the standard library says for all that a resolver has to say.
        _ if error.to_string().starts_with("failed to lookup") => NAME,
        _ => NETWORK,
    }
}

/// Reads what is left of an answer, so that its connection can be used again.
pub(super) fn drain(response: Answer) {
    let body = Until { body: response.into_body().into_reader(), end: Instant::now() + DRAINED };
    let _ = io::copy(&mut body.take(DRAINED_BYTES_MAX), &mut io::sink());
}

/// A body that is to have ended by then: one that comes byte by byte would be waited for for ever.
struct Until<R> {
    body: R,
    end: Instant,
}

impl<R: Read> Read for Until<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.body.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::ToSocketAddrs as _;

    use super::*;

    #[test]
    fn when_to_come_again_is_a_number_or_a_time() {
        let wish = |lines: &[(&str, &str)]| {
            let answer = http::Response::builder();
            let answer = lines.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
            retry_after(&answer.body(Body::builder().data("")).unwrap()).map(|wish| wish.as_secs())
        };
        let (now, later) = ("Fri, 27 Nov 2026 00:00:00 GMT", "Fri, 27 Nov 2026 00:01:30 GMT");
        assert_eq!(wish(&[("retry-after", " 7 ")]), Some(7));
        assert_eq!(wish(&[("retry-after", later), ("date", now)]), Some(90));
        for lines in [
            &[][..],
            &[("retry-after", "-1"), ("date", now)],
            &[("retry-after", now), ("date", later)],
            &[("retry-after", later)],
            &[("retry-after", "soon"), ("date", now)],
        ] {
            assert_eq!(wish(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn what_comes_byte_by_byte_comes_to_an_end() {
        let now = Instant::now();
        let read = |end| Until { body: io::repeat(1), end }.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read(now + SHORT_ANSWER), Ok(1));
        assert_eq!(read(now), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn a_server_that_sends_byte_by_byte_is_not_read_for_ever() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/", server.local_addr().unwrap());
        let serving = crate::thread::named("trickle").spawn(move || {
            let (mut client, _) = server.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
            // Until nobody listens any more.
            for _ in 0..500 {
                if client.write_all(b"x").is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let serving = serving.unwrap();
        let http = Http::new(false, &Trust::default(), Way::default().within(Duration::from_secs(1))).unwrap();
        let request = http::Request::builder().uri(uri).body(()).unwrap();
        let Ok(answer) = http.send(request, None, "can't") else { panic!() };
        let error = io::copy(&mut http.body(answer), &mut io::sink()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::TimedOut, "next to nothing comes through")
        );
        serving.join().unwrap();
    }

    #[test]
    fn what_is_wrong_with_the_way_is_told_apart() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let refused = std::net::TcpStream::connect(refused.unwrap()).unwrap_err();
        let unknown = "no-such-host.invalid:443".to_socket_addrs().unwrap_err();
        for (error, words) in [
            (refused, "nothing answers at this port"),
            (unknown, "the name of the host"),
            (io::ErrorKind::NetworkUnreachable.into(), "is the network there?"),
            (io::ErrorKind::UnexpectedEof.into(), "is the target's address right?"),
        ] {
            let Failed::ForNow(told, _) = failed(ureq::Error::Io(error), "can't") else { panic!() };
            assert!(told.kind == ErrorKind::Unreachable && told.hint().unwrap().contains(words), "{told:?}");
        }
    }
}
