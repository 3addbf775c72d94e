//! Files that hold keys and personal data.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// Makes an empty file that only its owner may read, if there is none. SQLite gives a database's log the same mode.
///
/// # Errors
/// Those of the file system, such as a folder that isn't there.
pub fn make_private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
