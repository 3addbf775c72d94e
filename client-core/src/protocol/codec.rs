//! Reading and writing the wire's building blocks: LEB128 numbers, counted bytes and texts.

/// Bytes that don't follow the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// A number is longer than 64 bits.
    #[error("a number is too large")]
    Number,
    /// A length or count is over its limit.
    #[error("a {0} is over its limit")]
    Limit(&'static str),
    /// A text isn't UTF-8.
    #[error("a text isn't UTF-8")]
    Text,
    /// A value that the format doesn't allow.
    #[error("a {0} isn't allowed")]
    Value(&'static str),
    /// Another protocol, or another version of this one.
    #[error("not a message of this protocol version")]
    Version,
    /// The compressed stream is damaged.
    #[error("the compressed stream is damaged")]
    Compression,
    /// The digest of what came differs from what was sent.
    #[error("the content doesn't match its digest")]
    Digest,
}

/// Appends to a buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An unsigned LEB128 number.
    pub fn number(&mut self, mut n: u64) {
        loop {
            let low = (n & 0x7f) as u8;
            n >>= 7;
            if n == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    /// A signed number, zigzag-coded.
    pub fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    /// One byte.
    pub fn byte(&mut self, b: u8) {
        self.0.push(b);
    }

    /// Bytes of a length known to the reader.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Bytes preceded by their length.
    pub fn counted(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A text preceded by its length in bytes.
    pub fn text(&mut self, text: &str) {
        self.counted(text.as_bytes());
    }

    /// 0, or 1 and the value.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }
}

/// Reads from a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An unsigned LEB128 number.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0u64;
        for shift in (0..70).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b > 1 {
                return Err(DecodeError::Number);
            }
            n |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeError::Number)
    }

    /// A signed number, zigzag-coded.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let n = self.number()?;
        Ok(((n >> 1) as i64) ^ -((n & 1) as i64))
    }

    /// A number of at most 32 bits.
    pub fn number32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.number()?).map_err(|_| DecodeError::Number)
    }

    /// A count of at most `max` things, of which each takes at least one byte of what is left.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let n = usize::try_from(self.number()?).map_err(|_| DecodeError::Limit(what))?;
        if n > max || n > self.0.len() { Err(DecodeError::Limit(what)) } else { Ok(n) }
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&b, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(b)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (a, b) = self.0.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.0 = b;
        Ok(a)
    }

    /// An array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// Bytes preceded by their length.
    pub fn counted(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(self.number()?).map_err(|_| DecodeError::Limit(what))?;
        if n > max {
            return Err(DecodeError::Limit(what));
        }
        self.take(n)
    }

    /// A text preceded by its length.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.counted(max, what)?).map_err(|_| DecodeError::Text)
    }

    /// 0, or 1 and the value.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(DecodeError::Value("option mark")),
        }
    }
}
