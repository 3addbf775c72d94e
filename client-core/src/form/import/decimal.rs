//! Decimal numbers without rounding, for steps such as 0.1.

use std::cmp::Ordering;

/// `units` / 10^`scale`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    units: i128,
    scale: u32,
}

impl Decimal {
    /// Reads digits with at most one point; no more than 18 of them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || all.len() > 18 || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let units: i128 = all.parse().ok()?;
        Some(Self { units: if negative { -units } else { units }, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// Both in the same unit; 36 digits fit.
    fn aligned(self, other: Self) -> (i128, i128, u32) {
        let scale = self.scale.max(other.scale);
        let units = |d: Self| d.units.saturating_mul(10i128.saturating_pow(scale - d.scale));
        (units(self), units(other), scale)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        let (a, b, scale) = self.aligned(other);
        Self { units: a.saturating_sub(b), scale }
    }

    pub(super) fn abs(self) -> Self {
        Self { units: self.units.saturating_abs(), scale: self.scale }
    }

    pub(super) fn is_zero(self) -> bool {
        self.units == 0
    }

    pub(super) fn is_whole(self) -> bool {
        self.units % 10i128.saturating_pow(self.scale) == 0
    }

    pub(super) fn is_multiple_of(self, unit: Self) -> bool {
        let (a, b, _) = self.aligned(unit);
        b != 0 && a % b == 0
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let (a, b, _) = self.aligned(*other);
        Some(a.cmp(&b))
    }
}
