//! Places on earth, with ODK's formulas and its radius.

use super::super::code::{Code, CodeKind};
use super::super::error::Fault;
use super::super::functions::Function;
use super::super::value::Value;
use super::{Cx, Eval, arg, fail};

/// The earth's radius at the equator, in metres.
const RADIUS_M: f64 = 6_378_100.0;

/// A place, in degrees.
#[derive(Clone, Copy)]
struct Place {
    latitude: f64,
    longitude: f64,
}

impl Cx<'_> {
    pub(super) fn of_places(&self, at: usize, function: Function, args: &[Code]) -> Eval<Value> {
        if function == Function::Geofence {
            let (point, shape) = (self.text(arg(args, 0))?, self.text(arg(args, 1))?);
            if point.is_empty() || shape.is_empty() {
                return Ok(Value::Bool(false));
            }
            let (Some(point), Some(shape)) = (place(&point), places(&shape)) else {
                return fail(at, Fault::NotAPlace(function.name()));
            };
            return Ok(Value::Bool(inside(point, &shape)));
        }
        let mut all = Vec::new();
        for code in args {
            for value in self.values(code)? {
                let text = value.to_text(self.offset_minutes());
                if text.is_empty() && (args.len() > 1 || matches!(code.kind, CodeKind::Set(_))) {
                    continue;
                }
                let Some(more) = places(&text) else { return fail(at, Fault::NotAPlace(function.name())) };
                all.extend(more);
            }
        }
        Ok(Value::Number(if function == Function::Distance { distance(&all) } else { area(&all) }))
    }
}

/// `latitude longitude [altitude [accuracy]]`
fn place(text: &str) -> Option<Place> {
    let numbers: Option<Vec<f64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
    match numbers?.as_slice() {
        [latitude, longitude, ..] if latitude.is_finite() && longitude.is_finite() => {
            Some(Place { latitude: *latitude, longitude: *longitude })
        }
        _ => None,
    }
}

/// Places separated by semicolons.
fn places(text: &str) -> Option<Vec<Place>> {
    text.split(';').map(str::trim).filter(|p| !p.is_empty()).map(place).collect()
}

/// The length of a line, in metres, by the spherical law of cosines.
fn distance(line: &[Place]) -> f64 {
    line.windows(2).map(|pair| between(pair[0], pair[1])).sum::<f64>() + 0.0
}

fn between(a: Place, b: Place) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let turn = (a.longitude - b.longitude).to_radians();
    let cosine = lat_a.sin() * lat_b.sin() + lat_a.cos() * lat_b.cos() * turn.cos();
    // rounding may carry the cosine of equal places past 1
    cosine.clamp(-1.0, 1.0).acos() * RADIUS_M
}

/// The area of an outline, in square metres: triangles from the first place, each flattened at its own latitude.
fn area(outline: &[Place]) -> f64 {
    let [first, rest @ ..] = outline else { return 0.0 };
    if rest.len() < 2 {
        return 0.0;
    }
    let metres_per_degree = 2.0 * RADIUS_M * std::f64::consts::PI / 360.0;
    let flat: Vec<(f64, f64)> = rest
        .iter()
        .map(|p| {
            let x = (p.longitude - first.longitude) * metres_per_degree * p.latitude.to_radians().cos();
            let y = (p.latitude - first.latitude) * metres_per_degree;
            (x, y)
        })
        .collect();
    let triangles = flat.windows(2).map(|pair| (pair[0].1 * pair[1].0 - pair[0].0 * pair[1].1) / 2.0);
    triangles.sum::<f64>().abs()
}

/// Whether a ray from the point crosses the closed outline an odd number of times.
fn inside(point: Place, outline: &[Place]) -> bool {
    let crosses = |a: Place, b: Place| {
        let spans = (b.latitude > point.latitude) != (a.latitude > point.latitude);
        let slope = (a.longitude - b.longitude) / (a.latitude - b.latitude);
        spans && point.longitude < slope * (point.latitude - b.latitude) + b.longitude
    };
    outline.windows(2).filter(|pair| crosses(pair[0], pair[1])).count() % 2 == 1
}
