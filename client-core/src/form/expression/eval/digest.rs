//! Digests, base64 and signed texts.

use data_encoding::{BASE64, HEXLOWER, Specification};
use ed25519_dalek::{Signature, VerifyingKey};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use super::super::code::Code;
use super::super::error::Fault;
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg, fail};

impl Cx<'_> {
    pub(super) fn digest(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        let text = self.text(arg(args, 0))?;
        match function {
            Function::Digest => {
                let algorithm = self.text(arg(args, 1))?;
                let bytes = match algorithm.to_ascii_uppercase().replace('-', "").as_str() {
                    "MD5" => Md5::digest(text.as_bytes()).to_vec(),
                    "SHA1" => Sha1::digest(text.as_bytes()).to_vec(),
                    "SHA256" => Sha256::digest(text.as_bytes()).to_vec(),
                    "SHA384" => Sha384::digest(text.as_bytes()).to_vec(),
                    "SHA512" => Sha512::digest(text.as_bytes()).to_vec(),
                    _ => return fail(at, Fault::UnknownAlgorithm(algorithm.to_string())),
                };
                if args.len() < 3 {
                    return Ok(Value::text(BASE64.encode(&bytes)));
                }
                let encoding = self.text(arg(args, 2))?;
                match encoding.to_ascii_lowercase().as_str() {
                    "base64" => Ok(Value::text(BASE64.encode(&bytes))),
                    "hex" => Ok(Value::text(HEXLOWER.encode(&bytes))),
                    _ => fail(at, Fault::UnknownAlgorithm(encoding.to_string())),
                }
            }
            Function::Base64Decode => {
                let bytes = decode(&text).unwrap_or_default();
                Ok(Value::text(String::from_utf8_lossy(&bytes)))
            }
            _ => {
                let key = self.text(arg(args, 1))?;
                let (Some(signed), Some(key)) = (decode(&text), decode(&key)) else { return Ok(Value::blank()) };
                Ok(extract(&signed, &key).map_or_else(Value::blank, Value::text))
            }
        }
    }
}

/// The text behind a signature of 64 bytes, if the key made it.
fn extract(signed: &[u8], key: &[u8]) -> Option<String> {
    let (signature, message) = signed.split_first_chunk::<64>()?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    key.verify_strict(message, &Signature::from_bytes(signature)).ok()?;
    String::from_utf8(message.to_vec()).ok()
}

/// Base64, with or without padding and line breaks.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut relaxed: Specification = BASE64.specification();
    relaxed.padding = None;
    relaxed.check_trailing_bits = false;
    relaxed.ignore = "\r\n= ".to_owned();
    relaxed.encoding().ok()?.decode(text.as_bytes()).ok()
}
