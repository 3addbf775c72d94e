//! The container of `.xls` files (compound file, OLE2): one stream out of it, with every chain bounded.

use super::code::Code;
use super::workbook::{Stop, stop};

const END_OF_CHAIN: u32 = 0xFFFF_FFFE;
const LARGEST_SECTOR: u32 = 0xFFFF_FFFA;
/// Streams below this length stand in the mini stream.
const MINI_CUTOFF: usize = 4096;
const MINI_SECTOR: usize = 64;

/// The stream with one of these names.
pub(super) fn stream(bytes: &[u8], names: &[&str]) -> Result<Vec<u8>, Stop> {
    let file = Container::open(bytes).ok_or_else(|| stop(Code::FileDamaged))?;
    file.stream(names).ok_or_else(|| match file.entry(&["EncryptedPackage"]) {
        Some(_) => stop(Code::FileEncrypted),
        None => stop(Code::NotAWorkbook),
    })
}

struct Container<'a> {
    bytes: &'a [u8],
    sector: usize,
    fat: Vec<u32>,
    directory: Vec<u8>,
    mini_fat_start: u32,
}

struct Entry {
    start: u32,
    length: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl<'a> Container<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let sector = match u16_at(bytes, 30)? {
            9 => 512,
            12 => 4096,
            _ => return None,
        };
        let mut file =
            Self { bytes, sector, fat: Vec::new(), directory: Vec::new(), mini_fat_start: u32_at(bytes, 60)? };
        let mut fat_sectors: Vec<u32> = (0..109).filter_map(|i| u32_at(bytes, 76 + 4 * i)).collect();
        let mut next = u32_at(bytes, 68)?;
        let mut steps = 0;
        while next < LARGEST_SECTOR {
            let table = file.at(next)?;
            fat_sectors.extend((0..sector / 4 - 1).filter_map(|i| u32_at(table, 4 * i)));
            next = u32_at(table, sector - 4)?;
            steps += 1;
            if steps > file.sectors() {
                return None;
            }
        }
        for id in fat_sectors.into_iter().filter(|id| *id < LARGEST_SECTOR).take(file.sectors()) {
            let table = file.at(id)?;
            let ids: Vec<u32> = table.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect();
            file.fat.extend(ids);
        }
        file.directory = file.chain(u32_at(bytes, 48)?, usize::MAX)?;
        Some(file)
    }

    fn sectors(&self) -> usize {
        self.bytes.len() / self.sector + 1
    }

    /// A sector; the last one of a file may be short.
    fn at(&self, id: u32) -> Option<&'a [u8]> {
        let start = (id as usize).checked_add(1)?.checked_mul(self.sector)?;
        let end = start.checked_add(self.sector)?.min(self.bytes.len());
        self.bytes.get(start..end)
    }

    /// The sectors of a chain; a chain longer than the file goes in circles and is damaged.
    fn chain(&self, start: u32, length: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut id = start;
        for _ in 0..=self.sectors() {
            if id == END_OF_CHAIN || out.len() >= length {
                out.truncate(length);
                return Some(out);
            }
            out.extend_from_slice(self.at(id)?);
            id = *self.fat.get(id as usize)?;
        }
        None
    }

    fn entry(&self, names: &[&str]) -> Option<Entry> {
        self.directory.as_chunks::<128>().0.iter().find_map(|entry| {
            let length = usize::from(u16_at(entry, 64)?).checked_sub(2)?.min(62);
            let units = entry[..length].as_chunks::<2>().0.iter().map(|c| u16::from_le_bytes(*c));
            let name: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
            if !names.iter().any(|n| n.eq_ignore_ascii_case(&name)) {
                return None;
            }
            Some(Entry { start: u32_at(entry, 116)?, length: u32_at(entry, 120)? as usize })
        })
    }

    fn stream(&self, names: &[&str]) -> Option<Vec<u8>> {
        let entry = names.iter().find_map(|name| self.entry(&[name]))?;
        if entry.length >= MINI_CUTOFF {
            return self.chain(entry.start, entry.length);
        }
        let root = self.entry(&["Root Entry", "R"])?;
        let mini_stream = self.chain(root.start, root.length)?;
        let mini_fat = self.chain(self.mini_fat_start, usize::MAX)?;
        let mut out = Vec::new();
        let mut id = entry.start;
        for _ in 0..=mini_stream.len() / MINI_SECTOR {
            if id == END_OF_CHAIN || out.len() >= entry.length {
                out.truncate(entry.length);
                return Some(out);
            }
            let start = (id as usize).checked_mul(MINI_SECTOR)?;
            let end = start.checked_add(MINI_SECTOR)?.min(mini_stream.len());
            out.extend_from_slice(mini_stream.get(start..end)?);
            id = u32_at(&mini_fat, (id as usize).checked_mul(4)?)?;
        }
        None
    }
}
