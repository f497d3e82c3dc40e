//! OAuth 2.0 as a box without a browser uses it: a token for the next hour from the one that was given at the login (RFC 6749, section 6).
//!
//! What is secret goes to the server of logins and to no other, and into no error.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::grant::GrantFile;
use super::refusal::Refusal;
use crate::limits::ANSWER_BYTES_MAX;
use crate::provider::{Endpoint, OauthClient, percent_encode};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http};
use crate::target::retry::Failed;
use crate::target::upload::Payload;

/// Files that were made by the program itself, and no others.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/drive.file";
/// A token is not used in its last minute.
const MARGIN_SECONDS: u64 = 60;
/// How long one is believed to last if that is not told, and at the most.
const TOKEN_SECONDS: (u64, u64) = (600, 24 * 3600);

/// What the server of logins says, of whatever it was asked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    access_token: Option<String>,
    refresh_token: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) expires_in: Option<u64>,
    pub(super) device_code: Option<String>,
    pub(super) user_code: Option<String>,
    /// Google's name of it.
    pub(super) verification_url: Option<String>,
    /// That of RFC 8628.
    pub(super) verification_uri: Option<String>,
    pub(super) interval: Option<u64>,
}

impl Said {
    pub(super) fn refresh_token(&mut self) -> Option<Zeroizing<String>> {
        self.refresh_token.take().map(Zeroizing::new).filter(|token| is_token(token))
    }

    fn access_token(&mut self) -> Option<Zeroizing<String>> {
        self.access_token.take().map(Zeroizing::new).filter(|token| is_token(token))
    }
}

/// Both are of RFC 6749, appendix A: visible characters.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The server of logins, and who asks it.
#[derive(Debug)]
pub(super) struct Oauth {
    pub(super) endpoint: Endpoint,
    pub(super) client: OauthClient,
}

impl Oauth {
    /// One request, once. The client's name and secret go with it.
    pub(super) fn ask(
        &self,
        http: &Http,
        path: &str,
        form: &[(&str, &str)],
        what: &str,
    ) -> Result<Result<Said, Refusal>, Failed> {
        let mut body = Zeroizing::new(format!("client_id={}", percent_encode(&self.client.id)));
        let secret = self.client.secret.as_ref().map(|secret| ("client_secret", secret.as_str()));
        // The client's secret is not asked for before there is something to give for it.
        let secret = secret.filter(|_| path == TOKEN_PATH);
        for (key, value) in secret.iter().chain(form) {
            body.push_str(&Zeroizing::new(format!("&{key}={}", *Zeroizing::new(percent_encode(value)))));
        }
        let request = ureq::http::Request::post(format!("{}{path}", self.endpoint))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", body.len())
            .body(())
            .map_err(|error| Error::new(ErrorKind::Unreachable, format!("{what}: {error}")))?;
        let answer = http.send(request, Some(&mut *Payload::Text(&body).reader()), what)?;
        if answer.status() != 200 {
            return Ok(Err(Refusal::read(answer)));
        }
        json(answer, what).map(Ok)
    }
}

pub(super) const TOKEN_PATH: &str = "/token";

/// What an answer says, if it is JSON of this kind and not too long.
pub(super) fn json<T: for<'de> Deserialize<'de>>(mut answer: Answer, what: &str) -> Result<T, Failed> {
    let bytes = Zeroizing::new(http::short(&mut answer, ANSWER_BYTES_MAX + 1).map_err(http::cut(what))?);
    // What is malformed is not shown: it may be a token.
    serde_json::from_slice(&bytes).ok().filter(|_| bytes.len() as u64 <= ANSWER_BYTES_MAX).ok_or_else(|| {
        let why = format!("{what}: what answers is not Google Drive");
        Failed::ForNow(
            Error::new(ErrorKind::Io, why).advise("is something in between, such as a page to log in on?"),
            None,
        )
    })
}

/// A login under way: the token of the hour, and what gets the next one.
pub(super) struct Session {
    oauth: Oauth,
    file: GrantFile,
    state: Mutex<State>,
}

struct State {
    refresh: Zeroizing<String>,
    /// It is newer than the one in the file.
    is_unsaved: bool,
    access: Option<(Zeroizing<String>, Instant)>,
}

impl Session {
    pub(super) fn open(oauth: Oauth, file: GrantFile) -> Result<Self, Error> {
        let refresh = file.read(&oauth.client.id)?;
        Ok(Self { oauth, file, state: Mutex::new(State { refresh, is_unsaved: false, access: None }) })
    }

    /// A token that is not the one that was refused. Of several who need one, one asks and the others wait for it.
    pub(super) fn token(
        &self,
        http: &Http,
        refused: Option<&Zeroizing<String>>,
        what: &str,
    ) -> Result<Zeroizing<String>, Failed> {
        let Ok(mut state) = self.state.lock() else {
            return Err(Error::new(ErrorKind::Io, "another thread failed while it logged in").into());
        };
        if let Some((token, until)) = &state.access
            && Instant::now() < *until
            && refused != Some(token)
        {
            return Ok(token.clone());
        }
        state.access = None;
        let form = [("grant_type", "refresh_token"), ("refresh_token", state.refresh.as_str())];
        let said = self.oauth.ask(http, TOKEN_PATH, &form, what)?;
        let mut said = said.map_err(|refusal| self.failed(refusal, what))?;
        if let Some(next) = said.refresh_token().filter(|next| *next != state.refresh) {
            // The old one may be worth nothing from now on, whether there is room for the new one in its file or not.
            (state.refresh, state.is_unsaved) = (next, true);
        }
        let Some(token) = said.access_token() else {
            return Err(Failed::ForNow(
                Error::new(ErrorKind::Io, format!("{what}: there is no token in the answer")),
                None,
            ));
        };
        let (usual, most) = TOKEN_SECONDS;
        let seconds = said.expires_in.unwrap_or(usual).min(most).saturating_sub(MARGIN_SECONDS);
        state.access = Some((token.clone(), Instant::now() + Duration::from_secs(seconds)));
        if state.is_unsaved {
            self.file.write(&self.oauth.client.id, &state.refresh)?;
            state.is_unsaved = false;
        }
        Ok(token)
    }

    /// A refusal as an error, with what to do about the login.
    pub(super) fn failed(&self, refusal: Refusal, what: &str) -> Failed {
        refusal.failed(what, &self.file.advice())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}
