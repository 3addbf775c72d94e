//! Files that commands write.

use std::fs::{File, OpenOptions};
use std::path::Path;

/// A new file that only its owner may read; never over another.
pub fn new_private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
