//! The file: where it is looked for, and its bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind, listed};
use super::limits::FILE_BYTES_MAX;
use super::surroundings::Surroundings;

/// The file to open: the flag's, else the variable's, else the first of the places that there is.
pub(super) fn find(flag: Option<&Path>, around: &Surroundings) -> Result<PathBuf, Error> {
    let hint = || Some("`brackup quickstart DIR` makes one".to_owned());
    let named = flag.map(|path| (path.to_owned(), "--config"));
    let variable = || around.variable("BRACKUP_CONF").map(|path| (path.into(), "$BRACKUP_CONF"));
    if let Some((path, who)) = named.or_else(variable) {
        if is_there(&path) {
            return Ok(path);
        }
        let path = around.shorten(&path);
        let found = format!("there is no configuration file {path}, which {who} names");
        return Err(Error::new(ErrorKind::NotFound, found).with_hint(hint()));
    }
    let places = around.places();
    if let Some(place) = places.iter().find(|place| is_there(place)) {
        return Ok(place.clone());
    }
    let places: Vec<String> = places.iter().map(|place| around.shorten(place)).collect();
    let found = "there is no configuration file";
    let expected = format!("--config FILE, $BRACKUP_CONF, {}", listed(&places, "or"));
    Err(Error::new(ErrorKind::NotFound, found).expected(expected).with_hint(hint()))
}

/// A file that cannot be seen, or a link to nothing, is there: better an error than another configuration.
fn is_there(path: &Path) -> bool {
    // Home is /dev/null for some users of services.
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    match std::fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !absent.contains(&error.kind()),
    }
}

/// All of it. A file that is too large is refused before it is read.
pub(super) fn read(path: &Path, around: &Surroundings) -> Result<Vec<u8>, Error> {
    let shown = around.shorten(path);
    let unreadable = |error| Error::new(ErrorKind::Unreadable, "cannot be read").with_source(error).at(&shown, 0);
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    if file.metadata().map_err(unreadable)?.len() <= FILE_BYTES_MAX {
        // It may be a pipe, or grow.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 <= FILE_BYTES_MAX {
            return Ok(bytes);
        }
    }
    Err(Error::new(ErrorKind::TooLarge, "the file is too large").expected("at most 1 MiB").at(&shown, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// An empty folder that is home and /etc, gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn create(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("brackup-config-{name}-{}", std::process::id()));
            std::fs::create_dir_all(dir.join("etc/brackup")).unwrap();
            Self(dir)
        }

        fn around(&self, env: fn(&str) -> Option<std::ffi::OsString>) -> Surroundings {
            Surroundings { home: Some(self.0.clone()), uid: 1000, env, etc: self.0.join("etc") }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_first_place_with_a_file_is_found() {
        let place = Place::create("find");
        let around = place.around(|_| None);
        let (own, etc) = (place.0.join(".brackup.conf"), place.0.join("etc/brackup/brackup.conf"));
        let error = find(None, &around).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "there is no configuration file, expected --config FILE, $BRACKUP_CONF, ~/.brackup.conf or ~/etc/brackup/brackup.conf"
        );
        assert_eq!(error.hint().as_deref(), Some("`brackup quickstart DIR` makes one"));
        std::fs::write(&etc, "").unwrap();
        assert_eq!(find(None, &around).unwrap(), etc);
        std::os::unix::fs::symlink("nowhere", &own).unwrap();
        assert_eq!(find(None, &around).unwrap(), own, "a link to nothing is not passed over");
        let named = place.around(|name| (name == "BRACKUP_CONF").then(|| "/etc".into()));
        assert_eq!(find(None, &named).unwrap(), PathBuf::from("/etc"));
        assert_eq!(find(Some(&etc), &named).unwrap(), etc, "the flag wins");
    }

    #[test]
    fn only_what_is_surely_absent_is_passed_over() {
        assert!(!is_there("/nonexistent/x".as_ref()));
        assert!(!is_there("/dev/null/.brackup.conf".as_ref()));
        assert!(is_there("/dev/null".as_ref()));
        let long = "x".repeat(300);
        assert!(is_there(long.as_ref()), "any other error");
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let mut around = Surroundings::of_test(1000);
        assert_eq!(
            find(Some("/home/brad/x.conf".as_ref()), &around).unwrap_err().to_string(),
            "there is no configuration file ~/x.conf, which --config names"
        );
        around.env = |name| (name == "BRACKUP_CONF").then(|| "/nonexistent".into());
        let error = find(None, &around).unwrap_err();
        assert_eq!(error.to_string(), "there is no configuration file /nonexistent, which $BRACKUP_CONF names");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let place = Place::create("read");
        let around = place.around(|_| None);
        let file = place.0.join(".brackup.conf");
        std::fs::write(&file, "[BOX]").unwrap();
        assert_eq!(read(&file, &around).unwrap(), b"[BOX]");
        let full = vec![b'\n'; FILE_BYTES_MAX as usize];
        std::fs::write(&file, &full).unwrap();
        assert_eq!(read(&file, &around).unwrap(), full);
        std::fs::write(&file, [&full[..], b"\n"].concat()).unwrap();
        let error = read(&file, &around).unwrap_err();
        assert_eq!(error.to_string(), "~/.brackup.conf: the file is too large, expected at most 1 MiB");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(
            read("/dev/zero".as_ref(), &around).unwrap_err().kind(),
            ErrorKind::TooLarge,
            "whatever its length is said to be"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_has_a_source() {
        for path in ["/nonexistent", "/dev"] {
            let error = read(path.as_ref(), &Surroundings::of_test(1000)).unwrap_err();
            assert_eq!(error.to_string(), format!("{path}: cannot be read"));
            assert!(error.source().is_some());
            assert_eq!(error.kind(), ErrorKind::Unreadable);
        }
    }
}
