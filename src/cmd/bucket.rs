//! From what the configuration says of a bucket to the bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::{S3Settings, Surroundings};
use brackup::target::{Credentials, S3, S3Options};

use crate::term::Failure;

/// The bucket, with the access key of the configuration or of the user. Objects wait in `spool_dir`.
pub(crate) fn open(settings: S3Settings, spool_dir: PathBuf, stop: &Arc<AtomicBool>) -> Result<S3, Failure> {
    let keys = settings.find_keys(&Surroundings::of_process())?;
    let credentials =
        Credentials { access_key: keys.access_key, secret_key: keys.secret_key, session_token: keys.session_token };
    let options = S3Options {
        endpoint: settings.endpoint,
        region: settings.region,
        bucket: settings.bucket,
        path_style: settings.path_style,
        prefix: settings.prefix,
        storage_class: settings.storage_class,
        encryption: settings.encryption,
        ca_file: settings.ca_file,
        credentials,
        spool_dir,
    };
    Ok(S3::open(options, stop.clone())?)
}
