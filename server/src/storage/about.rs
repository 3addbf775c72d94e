//! Which records name which subjects, where a record is about several: an index for lists, computed from the projection.

use doorstep_core::form::index::SUBJECTS;
use doorstep_core::id::RecordId;
use serde_json::Value;

use super::Projection;

/// The records that a merged record says it is about; `None` where it says nothing of the kind.
pub(super) fn subjects(projection: &Projection) -> Option<Vec<RecordId>> {
    let start = format!("\"{SUBJECTS}=");
    if !projection.json.contains(&start) {
        return None;
    }
    let merged: Value = serde_json::from_str(&projection.json).ok()?;
    let answers = merged.get("answers")?.as_object()?;
    let ticked = answers.iter().filter(|(_, value)| **value == Value::Bool(true));
    let named = ticked.filter_map(|(key, _)| key.split_once('=').filter(|(question, _)| *question == SUBJECTS));
    Some(named.filter_map(|(_, id)| id.parse().ok()).collect())
}
