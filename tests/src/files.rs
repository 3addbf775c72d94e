//! What can be read in the files of a phone or server, also where it is compressed.

use std::io::{BufRead, Read};
use std::path::Path;

/// The first bytes of everything that the product compresses.
const PACKED: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Everything that stands in the files of a folder and of those in it: their bytes, and what can be unpacked of compressed bytes in them.
///
/// # Errors
/// Those of the file system.
pub fn readable(dir: &Path) -> std::io::Result<Vec<u8>> {
    let mut readable = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            readable.extend(self::readable(&path)?);
            continue;
        }
        let bytes = std::fs::read(path)?;
        for at in places(&bytes, PACKED[0]) {
            if bytes[at..].starts_with(&PACKED)
                && let Ok(mut reader) = zstd::stream::read::Decoder::new(&bytes[at..])
            {
                // damage further on takes nothing from what came before
                let _ = reader.read_to_end(&mut readable);
            }
        }
        readable.extend(bytes);
    }
    Ok(readable)
}

/// Where a byte stands in others; quick also where the program isn't optimised.
pub fn places(bytes: &[u8], byte: u8) -> impl Iterator<Item = usize> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        // nothing is skipped at the end, and all that is left where the byte doesn't come again
        rest.skip_until(byte).ok().filter(|skipped| *skipped > 0)?;
        let at = bytes.len() - rest.len() - 1;
        (bytes[at] == byte).then_some(at)
    })
}

/// True if a text can be read in the files of a folder.
///
/// # Errors
/// Those of the file system.
pub fn holds(dir: &Path, text: &str) -> std::io::Result<bool> {
    Ok(readable(dir)?.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands_also_at_the_end() {
        let found = |text: &str| places(text.as_bytes(), b'7').collect::<Vec<_>>();
        assert_eq!(found("7a77b7"), [0, 2, 3, 5]);
        assert_eq!(found("a7b"), [1]);
        assert_eq!(found("7"), [0]);
        assert!(found("ab").is_empty() && found("").is_empty());
    }
}
