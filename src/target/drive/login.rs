//! The first login: somebody enters a code in a browser anywhere, and this box asks until that is done (RFC 8628, and what Google says of
//! "TVs and Limited Input devices", which differs in names and statuses).

use std::time::{Duration, Instant};

use super::grant::GrantFile;
use super::oauth::{Oauth, SCOPE, Said, TOKEN_PATH};
use super::refusal::Refusal;
use crate::provider::{DriveFolder, OauthClient};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::Http;
use crate::target::retry::{Failed, Retry};
use crate::target::way::Way;

const CODE_PATH: &str = "/device/code";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// If nothing is told (RFC 8628, section 3.2), and what is added if it was too often (section 3.5).
const INTERVAL_SECONDS: u64 = 5;
/// However long a server wants it to be.
const INTERVAL_SECONDS_MAX: u64 = 60;
const CODE_SECONDS_MAX: u64 = 3600;
const SHOWN_CHARS_MAX: usize = 200;

/// What somebody must enter, where, and how long there is time for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// To open in a browser.
    pub address: String,
    /// To enter there.
    pub code: String,
    /// From now.
    pub seconds: u64,
}

/// Logs in, and writes what was given to the file. `show` is told what to show, once.
pub fn log_in(
    folder: &DriveFolder,
    client: OauthClient,
    file: &GrantFile,
    way: Way,
    show: &mut dyn FnMut(&DeviceCode),
) -> Result<(), Error> {
    let http = Http::new(folder.oauth.is_tls(), &folder.trust, way.clone())?;
    let oauth = Oauth { endpoint: folder.oauth.clone(), client };
    let retry = Retry::new(way.clone());
    let what = format!("can't log in at {}", folder.oauth.authority());
    let mut said = retry.run(|_| {
        let asked = oauth.ask(&http, CODE_PATH, &[("scope", SCOPE)], &what)?;
        asked.map_err(|refusal| refusal.failed(&what, "see `client_id`"))
    })?;
    let (Some(code), Some(device)) = (shown(&mut said), said.device_code.take()) else {
        return Err(Error::new(ErrorKind::Io, format!("{what}: there is no code in the answer")));
    };
    show(&code);
    let until = Instant::now() + Duration::from_secs(code.seconds);
    let mut interval = said.interval.unwrap_or(INTERVAL_SECONDS);
    let mut granted = loop {
        interval = interval.clamp(1, INTERVAL_SECONDS_MAX);
        if !way.wait(Duration::from_secs(interval)) {
            return Err(Error::new(ErrorKind::Stopped, format!("{what}: interrupted before the code was entered")));
        }
        let form = [("grant_type", GRANT), ("device_code", device.as_str())];
        let answer = retry.run(|_| match oauth.ask(&http, TOKEN_PATH, &form, &what)? {
            Err(refusal) => Ok(Err(not_yet(refusal, &what)?)),
            Ok(said) => Ok(Ok(said)),
        });
        match answer? {
            Ok(granted) => break granted,
            Err(NotYet::Pending) => {}
            Err(NotYet::TooOften) => interval += INTERVAL_SECONDS,
        }
        if Instant::now() >= until {
            return Err(too_late(&what));
        }
    };
    let scope = granted.scope.take();
    if scope.is_some_and(|scope| !scope.split(' ').any(|one| one == SCOPE)) {
        let why = format!("{what}: it was not allowed to keep files");
        return Err(
            Error::new(ErrorKind::Refused, why).advise("log in again and leave the tick at the files of Google Drive")
        );
    }
    let token = granted.refresh_token().ok_or_else(|| {
        Error::new(ErrorKind::Refused, format!("{what}: there is no token to keep in the answer"))
            .advise("is the OAuth client of the kind \"TVs and Limited Input devices\"?")
    })?;
    file.write(&oauth.client.id, &token)
}

/// Address and code, without what a terminal would take for something else.
fn shown(said: &mut Said) -> Option<DeviceCode> {
    let address = said.verification_url.take().or_else(|| said.verification_uri.take());
    let plain = |text: String| {
        let is_plain = text.len() <= SHOWN_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && !text.is_empty()).then_some(text)
    };
    let seconds = said.expires_in.unwrap_or(CODE_SECONDS_MAX).min(CODE_SECONDS_MAX);
    Some(DeviceCode { address: plain(address?)?, code: plain(said.user_code.take()?)?, seconds })
}

enum NotYet {
    Pending,
    TooOften,
}

/// Whether to ask again. Google says 428 and 403 of what is 400 by RFC 8628.
fn not_yet(refusal: Refusal, what: &str) -> Result<NotYet, Failed> {
    match refusal.reason.as_str() {
        "authorization_pending" => Ok(NotYet::Pending),
        "slow_down" | "rate_limit_exceeded" => Ok(NotYet::TooOften),
        "access_denied" => Err(Error::new(ErrorKind::Refused, format!("{what}: it was refused in the browser")).into()),
        "expired_token" | "invalid_grant" => Err(too_late(what).into()),
        _ => Err(refusal.failed(what, "see `client_id`")),
    }
}

fn too_late(what: &str) -> Error {
    Error::new(ErrorKind::Refused, format!("{what}: the code was not entered in time"))
        .advise("log in again for another code")
}
