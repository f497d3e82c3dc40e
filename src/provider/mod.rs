//! What the configuration says of a provider and its target needs: one plain noun each, without keys of a configuration and without requests.

mod access_key;
mod bandwidth;
mod bucket;
mod collection;
mod drive_folder;
mod endpoint;
mod hook;
mod percent;
mod server;
mod ssh_folder;
mod trust;

pub use access_key::AccessKey;
pub use bandwidth::{Bandwidth, Span};
pub use bucket::{Bucket, Lock, LockMode};
pub use collection::{Collection, Login};
pub use drive_folder::{DriveFolder, OauthClient};
pub use endpoint::Endpoint;
pub use hook::Hook;
pub use percent::{percent_decode, percent_encode};
pub use server::{Server, Token};
pub use ssh_folder::SshFolder;
pub use trust::{Pin, Trust};
