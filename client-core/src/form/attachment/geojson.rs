//! GeoJSON lists as ODK reads them: each feature is an item with its `id`, its properties, and `geometry` as places of ODK
//! (latitude, longitude, altitude, accuracy; places of a line with semicolons between them).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Fault, List};

#[derive(Deserialize)]
struct Collection {
    #[serde(rename = "type")]
    kind: String,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(default)]
    id: Value,
    properties: Option<Map<String, Value>>,
    geometry: Option<Geometry>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    coordinates: Value,
}

pub(super) fn read(text: &str) -> Result<List, Fault> {
    let collection: Collection = serde_json::from_str(text).map_err(|_| Fault::Damaged)?;
    if collection.kind != "FeatureCollection" {
        return Err(Fault::Damaged);
    }
    let mut list = List::default();
    for feature in collection.features {
        let geometry = feature.geometry.map(|g| g.places()).transpose()?.unwrap_or_default();
        let id = Some(text_of(&feature.id)).filter(|id| !id.is_empty());
        let mut item: Vec<(String, String)> = id.map(|id| ("id".to_owned(), id)).into_iter().collect();
        let own_id = !item.is_empty();
        for (name, value) in feature.properties.unwrap_or_default() {
            if name != "geometry" && !(own_id && name == "id") {
                item.push((name, text_of(&value)));
            }
        }
        item.push(("geometry".to_owned(), geometry));
        if !list.push(item) {
            break;
        }
    }
    if list.rows.is_empty() { Err(Fault::NoItems) } else { Ok(list) }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

impl Geometry {
    fn places(&self) -> Result<String, Fault> {
        match self.kind.as_str() {
            "Point" => place(&self.coordinates),
            "LineString" => line(&self.coordinates),
            // ODK's outlines have no holes: the first ring is the outline
            "Polygon" => line(self.coordinates.get(0).ok_or(Fault::Damaged)?),
            _ => Err(Fault::Geometry),
        }
    }
}

fn line(places: &Value) -> Result<String, Fault> {
    let places = places.as_array().ok_or(Fault::Damaged)?;
    Ok(places.iter().map(place).collect::<Result<Vec<_>, _>>()?.join("; "))
}

fn place(coordinates: &Value) -> Result<String, Fault> {
    let numbers = coordinates.as_array().filter(|c| c.len() >= 2 && c.iter().all(Value::is_number));
    let numbers = numbers.ok_or(Fault::Damaged)?;
    let altitude = numbers.get(2).map_or_else(|| "0".to_owned(), Value::to_string);
    Ok(format!("{} {} {altitude} 0", numbers[1], numbers[0]))
}
