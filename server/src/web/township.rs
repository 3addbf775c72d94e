//! The township that the pages show: its name, its areas, the time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use doorstep_core::clock::Millis;
use doorstep_core::form::Catalog;
use doorstep_core::id::AreaId;
use doorstep_core::protocol::AreaEntry;

use super::texts;
use crate::api::ApiError;
use crate::messages::Language;
use crate::service::Service;
use crate::storage::TownshipId;

/// A township as pages need it.
pub struct Township {
    /// Id.
    pub id: TownshipId,
    /// When it was read.
    pub as_of_ms: Millis,
    areas: HashMap<AreaId, AreaEntry>,
    forms: Arc<Catalog>,
}

impl Township {
    /// The township of the pages: the server's oldest. Records of others have no page; the API has them.
    pub fn load(service: &Service) -> Result<Self, ApiError> {
        let missing = || ApiError::new(StatusCode::NOT_FOUND, "no_township");
        let id = service.storage.townships()?.first().copied().ok_or_else(missing)?;
        let (_, areas) = service.storage.areas(id)?;
        let as_of_ms = service.clock.now_ms();
        let areas = areas.into_iter().map(|a| (a.area, a)).collect();
        Ok(Self { id, as_of_ms, areas, forms: service.forms()? })
    }

    /// The published forms over the built-in ones.
    pub fn forms(&self) -> &Catalog {
        &self.forms
    }

    /// Its name.
    pub fn name(&self, language: Language) -> String {
        self.area_name(self.id, language)
    }

    /// The name of an area; empty if unknown.
    pub fn area_name(&self, area: AreaId, language: Language) -> String {
        if area == AreaId::NOWHERE {
            return texts::text("area.elsewhere", language).to_owned();
        }
        let Some(entry) = self.areas.get(&area) else { return String::new() };
        let (first, second) = match language {
            Language::Zh => (&entry.name_zh, &entry.name_en),
            Language::En => (&entry.name_en, &entry.name_zh),
        };
        if first.is_empty() { second.clone() } else { first.clone() }
    }

    /// The areas below the township, by code.
    pub fn villages(&self) -> Vec<&AreaEntry> {
        let mut villages: Vec<&AreaEntry> = self.areas.values().filter(|a| a.area != self.id).collect();
        villages.sort_by(|a, b| (&a.code, &a.name_zh, a.area).cmp(&(&b.code, &b.name_zh, b.area)));
        villages
    }
}

/// An area named by a parameter; an empty one names none.
pub fn parse_area(text: Option<&str>) -> Result<Option<AreaId>, ApiError> {
    let given = text.filter(|t| !t.is_empty());
    given.map(str::parse).transpose().map_err(|_| ApiError::bad_request("area"))
}
