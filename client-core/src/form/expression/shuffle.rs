//! Random orders as ODK's engines make them: the same seed gives the same order everywhere.

use sha2::{Digest, Sha256};

use super::value::Value;

const MODULUS: f64 = 2_147_483_647.0;

/// The generator of Park and Miller.
#[derive(Debug, Clone)]
pub struct ParkMiller(f64);

impl ParkMiller {
    /// A generator that begins with this seed.
    pub fn new(seed: i64) -> Self {
        let state = seed as f64 % MODULUS;
        Self(if state <= 0.0 { state + (MODULUS - 1.0) } else { state })
    }

    /// The next number, from 0 to below 1.
    pub fn draw(&mut self) -> f64 {
        self.0 = self.0 * 16_807.0 % MODULUS;
        (self.0 - 1.0) / (MODULUS - 1.0)
    }
}

/// The seed that a value is: its whole number, nought for a blank, for other texts the first eight bytes of their SHA-256.
pub fn seed_of(value: &Value, offset_minutes: i32) -> i64 {
    match value.to_number(offset_minutes) {
        _ if value.is_blank() => 0,
        n if n.is_nan() => {
            let hash = Sha256::digest(value.to_text(offset_minutes).as_bytes());
            hash.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
        }
        n => n as i64,
    }
}

/// Items in an order of chance, by draws from 0 to below 1: Fisher and Yates, from the first on.
pub fn shuffled<T: Clone>(items: &[T], mut draw: impl FnMut() -> f64) -> Vec<T> {
    let mut shuffled: Vec<T> = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let at = ((draw() * (i as f64 + 1.0)) as usize).min(i);
        shuffled.push(item.clone());
        shuffled.swap(at, i);
    }
    shuffled
}
