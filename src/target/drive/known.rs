//! Ids of files by their names. Only a cache: what it says is held against what is there, and what it does not know is asked.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::limits::DRIVE_IDS_KNOWN_MAX;

/// The names that were last used come first.
#[derive(Debug, Default)]
pub(super) struct KnownIds(Mutex<VecDeque<(String, String)>>);

impl KnownIds {
    pub(super) fn id(&self, name: &str) -> Option<String> {
        let mut known = self.0.lock().ok()?;
        let at = known.iter().position(|(known, _)| known == name)?;
        let pair = known.remove(at)?;
        let id = pair.1.clone();
        known.push_front(pair);
        Some(id)
    }

    /// Of a file that is used: the one that was used longest ago is forgotten.
    pub(super) fn learn(&self, name: &str, id: &str) {
        self.forget(name);
        if let Ok(mut known) = self.0.lock() {
            known.truncate(DRIVE_IDS_KNOWN_MAX - 1);
            known.push_front((name.to_owned(), id.to_owned()));
        }
    }

    /// Of a file that was only listed: nothing is forgotten for it.
    pub(super) fn hear_of(&self, name: &str, id: &str) {
        if let Ok(mut known) = self.0.lock()
            && known.len() < DRIVE_IDS_KNOWN_MAX
            && !known.iter().any(|(known, _)| known == name)
        {
            known.push_back((name.to_owned(), id.to_owned()));
        }
    }

    pub(super) fn forget(&self, name: &str) {
        if let Ok(mut known) = self.0.lock() {
            known.retain(|(known, _)| known != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_what_was_not_used() {
        let known = KnownIds::default();
        for number in 0..100_000 {
            known.hear_of(&format!("{number}"), "listed");
        }
        assert_eq!(known.0.lock().unwrap().len(), DRIVE_IDS_KNOWN_MAX);
        assert_eq!(known.id("1023").as_deref(), Some("listed"));
        assert_eq!(known.id("1024"), None);
        for number in 0..DRIVE_IDS_KNOWN_MAX - 1 {
            known.learn(&format!("new {number}"), "put");
        }
        assert_eq!(known.0.lock().unwrap().len(), DRIVE_IDS_KNOWN_MAX);
        assert_eq!(known.id("1023").as_deref(), Some("listed"), "it was used");
        assert_eq!(known.id("1"), None);
        known.learn("1023", "other");
        assert_eq!(known.id("1023").as_deref(), Some("other"));
        known.forget("1023");
        assert_eq!(known.id("1023"), None);
    }
}
