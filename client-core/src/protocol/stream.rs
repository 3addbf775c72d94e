//! One compressed stream of frames down, one compressed blob up; both bounded while they inflate.

use sha2::{Digest, Sha256};
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use super::codec::{DecodeError, Reader, Writer};
use super::reply::{Done, ReplyFrame, ScopeDigest};
use super::{MAGIC, VERSION, ZSTD_LEVEL, limits};
use crate::id::{TenantKey, first16};

/// How much memory a compressor may take: a reply that carries no records needs little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// About 0.2 MB: states, a few records. Every reply under way holds one.
    Light,
    /// About 8 MB: a fill.
    Bulk,
}

fn encoder(weight: Weight) -> Result<Encoder<'static>, DecodeError> {
    match weight {
        Weight::Light => encoder_with(15, 13, 14),
        Weight::Bulk => encoder_with(limits::WINDOW_LOG_MAX, 18, 19),
    }
}

/// Binary logarithms of the window and of the tables that find matches in it.
fn encoder_with(window: u32, hash: u32, chain: u32) -> Result<Encoder<'static>, DecodeError> {
    let set = || -> std::io::Result<Encoder<'static>> {
        let mut encoder = Encoder::new(ZSTD_LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(window))?;
        encoder.set_parameter(CParameter::HashLog(hash))?;
        encoder.set_parameter(CParameter::ChainLog(chain))?;
        encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
        Ok(encoder)
    };
    set().map_err(|_| DecodeError::Compression)
}

fn decoder() -> Result<Decoder<'static>, DecodeError> {
    let set = || -> std::io::Result<Decoder<'static>> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(limits::WINDOW_LOG_MAX))?;
        Ok(decoder)
    };
    set().map_err(|_| DecodeError::Compression)
}

/// Compresses an upload. The window is no larger than the upload, since the reader has to hold it.
pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let window = bytes.len().next_power_of_two().ilog2().clamp(12, limits::WINDOW_LOG_MAX);
    let mut encoder = encoder_with(window, window.min(18), (window + 1).min(19))?;
    let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
    drive(&mut encoder, bytes, &mut out)?;
    finish(&mut encoder, &mut out)?;
    Ok(out)
}

/// Inflates an upload, to at most `max` bytes.
pub fn inflate(bytes: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = decoder()?;
    let mut input = InBuffer::around(bytes);
    let mut out = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let mut output = OutBuffer::around(&mut chunk[..]);
        let hint = decoder.run(&mut input, &mut output).map_err(|_| DecodeError::Compression)?;
        let written = output.pos();
        if out.len() + written > max {
            return Err(DecodeError::Limit("inflated upload"));
        }
        out.extend_from_slice(&chunk[..written]);
        if hint == 0 {
            // the end of the compressed frame: nothing may follow it
            return if input.pos() == bytes.len() { Ok(out) } else { Err(DecodeError::Compression) };
        }
        if written == 0 && input.pos() == bytes.len() {
            return Err(DecodeError::Truncated);
        }
    }
}

fn drive(encoder: &mut Encoder<'static>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut input = InBuffer::around(bytes);
    let mut chunk = [0; 16 << 10];
    while input.pos() < bytes.len() {
        let mut output = OutBuffer::around(&mut chunk[..]);
        encoder.run(&mut input, &mut output).map_err(|_| DecodeError::Compression)?;
        out.extend_from_slice(output.as_slice());
    }
    Ok(())
}

fn flush(encoder: &mut Encoder<'static>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut chunk = [0; 16 << 10];
    loop {
        let mut output = OutBuffer::around(&mut chunk[..]);
        let left = encoder.flush(&mut output).map_err(|_| DecodeError::Compression)?;
        out.extend_from_slice(output.as_slice());
        if left == 0 {
            return Ok(());
        }
    }
}

fn finish(encoder: &mut Encoder<'static>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut chunk = [0; 16 << 10];
    loop {
        let mut output = OutBuffer::around(&mut chunk[..]);
        let left = encoder.finish(&mut output, true).map_err(|_| DecodeError::Compression)?;
        out.extend_from_slice(output.as_slice());
        if left == 0 {
            return Ok(());
        }
    }
}

/// Writes a reply.
pub struct ReplyEncoder {
    encoder: Encoder<'static>,
    hash: Sha256,
    frames: u32,
    inflated: usize,
    out: Vec<u8>,
}

impl ReplyEncoder {
    /// Starts a reply.
    pub fn new(weight: Weight) -> Result<Self, DecodeError> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        Ok(Self { encoder: encoder(weight)?, hash: Sha256::new(), frames: 0, inflated: 0, out })
    }

    /// How many bytes the frames so far take uncompressed.
    pub fn inflated(&self) -> usize {
        self.inflated
    }

    /// Appends a frame.
    pub fn push(&mut self, frame: &ReplyFrame) -> Result<(), DecodeError> {
        let (kind, content) = frame.encode()?;
        let mut w = Writer(Vec::with_capacity(content.len() + 8));
        w.number(kind);
        w.counted(&content);
        self.hash.update(&w.0);
        self.frames += 1;
        self.inflated += w.0.len();
        drive(&mut self.encoder, &w.0, &mut self.out)
    }

    /// Lets the reader use every frame so far once their bytes arrive, whatever follows.
    pub fn flush(&mut self) -> Result<(), DecodeError> {
        flush(&mut self.encoder, &mut self.out)
    }

    /// The bytes so far, flushed so that the reader can use every frame in them.
    pub fn take_flushed(&mut self) -> Result<Vec<u8>, DecodeError> {
        flush(&mut self.encoder, &mut self.out)?;
        Ok(std::mem::take(&mut self.out))
    }

    /// Ends the reply: the last bytes.
    pub fn finish(mut self, more: bool, scope: Option<ScopeDigest>) -> Result<Vec<u8>, DecodeError> {
        let digest = first16(&self.hash.clone().finalize());
        let frames = self.frames;
        self.push(&ReplyFrame::Done(Done { frames, digest, more, scope }))?;
        finish(&mut self.encoder, &mut self.out)?;
        Ok(self.out)
    }
}

/// Reads a reply as its bytes arrive.
pub struct ReplyDecoder {
    tenant_key: TenantKey,
    decoder: Decoder<'static>,
    head: Vec<u8>,
    buffer: Vec<u8>,
    hash: Sha256,
    frames: u32,
    inflated: usize,
    done: bool,
}

impl ReplyDecoder {
    /// A decoder before the first byte.
    pub fn new(tenant_key: TenantKey) -> Result<Self, DecodeError> {
        Ok(Self {
            tenant_key,
            decoder: decoder()?,
            head: Vec::new(),
            buffer: Vec::new(),
            hash: Sha256::new(),
            frames: 0,
            inflated: 0,
            done: false,
        })
    }

    /// True once the last frame came and its digest was right. A reply that ends before was cut; its frames hold.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes in the next bytes and gives the frames that they complete.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<ReplyFrame>, DecodeError> {
        if self.head.len() < 5 {
            let n = bytes.len().min(5 - self.head.len());
            self.head.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            let known = self.head.len().min(4);
            if self.head[..known] != MAGIC[..known] || self.head.get(4).is_some_and(|v| *v != VERSION) {
                return Err(DecodeError::Version);
            }
        }
        let mut frames = Vec::new();
        let mut input = InBuffer::around(bytes);
        let mut chunk = vec![0; 32 << 10];
        loop {
            let mut output = OutBuffer::around(&mut chunk[..]);
            if input.pos() == bytes.len() && bytes.is_empty() {
                break;
            }
            self.decoder.run(&mut input, &mut output).map_err(|_| DecodeError::Compression)?;
            let written = output.pos();
            self.inflated += written;
            if self.inflated > limits::REPLY_MAX + limits::FRAME_MAX {
                return Err(DecodeError::Limit("inflated reply"));
            }
            self.buffer.extend_from_slice(&chunk[..written]);
            self.parse(&mut frames)?;
            if input.pos() == bytes.len() && written < chunk.len() {
                break;
            }
        }
        Ok(frames)
    }

    fn parse(&mut self, frames: &mut Vec<ReplyFrame>) -> Result<(), DecodeError> {
        let mut start = 0;
        loop {
            let mut r = Reader::new(&self.buffer[start..]);
            let content = match (r.number(), r.number()) {
                (Ok(kind), Ok(n)) if n as usize <= limits::FRAME_MAX => match r.take(n as usize) {
                    Ok(content) => (kind, content),
                    Err(_) => break,
                },
                (Err(DecodeError::Truncated), _) | (_, Err(DecodeError::Truncated)) => break,
                (Ok(_), Ok(_)) => return Err(DecodeError::Limit("frame")),
                _ => return Err(DecodeError::Number),
            };
            let frame = ReplyFrame::decode(content.0, content.1, &self.tenant_key)?;
            let end = self.buffer.len() - r.0.len();
            if let ReplyFrame::Done(done) = &frame {
                if done.frames != self.frames || done.digest != first16(&self.hash.clone().finalize()) {
                    return Err(DecodeError::Digest);
                }
                self.done = true;
            }
            self.hash.update(&self.buffer[start..end]);
            self.frames += 1;
            start = end;
            frames.push(frame);
        }
        self.buffer.drain(..start);
        Ok(())
    }
}
