//! What `[SERVE]` says of the page for the owner: whether it is shown, by which names, and who may ask without a password.

use super::findings::Findings;
use super::ini::{Kind, Section};
use super::values::{Values, flag, text};
use crate::digest::unhex;

/// The page of `brackup serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// Names that this box has beside its own: a browser that asks for another one was led astray.
    pub names: Vec<String>,
    /// The SHA-256 of a token that programs ask with.
    pub token_sha256: Option<[u8; 32]>,
}

impl PageOptions {
    /// Nothing with `page = no`.
    pub(super) fn read(sections: &[Section<'_>], findings: &mut Findings) -> Option<Self> {
        let Some(section) = sections.iter().find(|section| section.kind == Kind::Serve) else {
            return Some(Self::default());
        };
        let values = Values::of(section);
        let is_shown = values.read("page", findings, flag).unwrap_or(true);
        let token_sha256 = values.read("token_sha256", findings, |value| {
            let expected = "64 hex digits in small letters, as `brackup serve --new-token` prints them";
            unhex::<32>(text(value)?).ok_or_else(|| expected.into())
        });
        let names = values.all("name").filter_map(|entry| name(entry.value)).collect();
        is_shown.then_some(Self { names, token_sha256 })
    }
}

/// As it stands in a URL, in small letters.
fn name(value: &[u8]) -> Option<String> {
    text(value).ok().map(|name| name.trim_end_matches('.').to_ascii_lowercase())
}
