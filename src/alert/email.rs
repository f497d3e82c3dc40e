//! A letter by SMTP. Without TLS nothing leaves this machine, and no password is said.

use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, transport::smtp};

use super::{Error, Event, Until};
use crate::config::{MailSecurity, MailSettings};
use crate::monitor::one_line;
use crate::target::trusted_certificates;

/// Longer ones are cut: the rest is in the letter.
const SUBJECT_CHARS_MAX: usize = 200;

/// Writes to all, or to nobody that is known.
pub(super) fn write(settings: &MailSettings, event: &Event, until: Until<'_>) -> Result<(), Error> {
    let login = settings.find_login()?;
    let login = login.map(|(user, password)| Credentials::new(user.into(), password.to_string()));
    let (envelope, letter) = letter(settings, event)?;
    let tls = tls(settings)?;
    until.tries(|within| hand_in(settings, tls.as_ref(), login.as_ref(), (&envelope, &letter), within))
}

/// One try. Each step has what is left of the time.
fn hand_in(
    settings: &MailSettings,
    tls: Option<&TlsParameters>,
    login: Option<&Credentials>,
    (envelope, letter): (&Envelope, &[u8]),
    within: Duration,
) -> Result<(), Error> {
    let end = Instant::now() + within;
    // Zero would be for ever.
    let left = || Some(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    let place = format!("{}:{}", settings.host, settings.port);
    let failed = |error: smtp::Error| {
        let may_pass = !(error.is_permanent() || error.is_client() || error.is_tls());
        Error { what: format!("{place}: {}", one_line(&error)), may_pass }
    };
    let hello = ClientId::default();
    let (at_once, later) = match settings.security {
        MailSecurity::Tls => (tls, None),
        MailSecurity::StartTls => (None, tls),
        MailSecurity::None => (None, None),
    };
    let server = (&*settings.host, settings.port);
    let mut connection = SmtpConnection::connect(server, left(), &hello, at_once, None).map_err(failed)?;
    let patient = |connection: &mut SmtpConnection| {
        connection.set_timeout(left()).map_err(|error| Error { what: format!("{place}: {error}"), may_pass: true })
    };
    if let Some(tls) = later {
        if !connection.can_starttls() {
            return Err(Error::new(format!("{place}: it does not offer STARTTLS; `tls = tls` may be what it wants")));
        }
        patient(&mut connection)?;
        connection.starttls(tls, &hello).map_err(failed)?;
    }
    if let Some(login) = login {
        patient(&mut connection)?;
        connection.auth(&[Mechanism::Plain, Mechanism::Login], login).map_err(failed)?;
    }
    patient(&mut connection)?;
    connection.send(envelope, letter).map_err(failed)?;
    // The letter is theirs now.
    let _ = patient(&mut connection).map(|()| connection.quit());
    Ok(())
}

fn letter(settings: &MailSettings, event: &Event) -> Result<(Envelope, Vec<u8>), Error> {
    // The configuration was stricter.
    let address = |text: &String| text.parse::<Address>().map_err(|error| Error::new(format!("{text}: {error}")));
    let (from, to) = (address(&settings.from)?, settings.to.iter().map(address).collect::<Result<Vec<_>, _>>()?);
    let subject: String = format!("{}: {}", event.hostname, event.message)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUBJECT_CHARS_MAX)
        .collect();
    let failed =
        |error: &dyn std::error::Error| Error::new(format!("no letter can be made of it: {}", one_line(error)));
    let mut builder = Message::builder().from(Mailbox::new(None, from.clone()));
    for to in &to {
        builder = builder.to(Mailbox::new(None, to.clone()));
    }
    let message = builder.subject(subject).header(ContentType::TEXT_PLAIN).body(event.text());
    let message = message.map_err(|error| failed(&error))?;
    let envelope = Envelope::new(Some(from), to).map_err(|error| failed(&error))?;
    Ok((envelope, message.formatted()))
}

fn tls(settings: &MailSettings) -> Result<Option<TlsParameters>, Error> {
    if settings.security == MailSecurity::None {
        return Ok(None);
    }
    let failed = |error: smtp::Error| Error::new(format!("there is no TLS to {}: {}", settings.host, one_line(&error)));
    let mut builder = TlsParameters::builder(settings.host.clone()).certificate_store(CertificateStore::None);
    for der in trusted_certificates(settings.tls_ca.as_deref())? {
        builder = builder.add_root_certificate(Certificate::from_der(der).map_err(failed)?);
    }
    builder.build_rustls().map(Some).map_err(failed)
}
