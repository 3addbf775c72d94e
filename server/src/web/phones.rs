//! `/phones`: which phones have been heard of, and how far behind they are.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use doorstep_core::clock::Millis;
use doorstep_core::id::DeviceId;

use super::shell::{Request, Shell};
use super::township::Township;
use crate::api::ApiError;
use crate::api::office::Office;
use crate::app::App;
use crate::service::{Service, view};
use crate::storage::Device;

/// A phone not heard of for so long is listed as silent: seven days.
const SILENT_AFTER_MS: Millis = 7 * 24 * 3600 * 1000;

/// The page.
#[derive(Template)]
#[template(path = "phones.html")]
pub struct PhonesPage {
    /// Frame.
    pub shell: Shell,
    /// In figures.
    pub summary: Freshness,
    /// Silent ones first, then by name.
    pub phones: Vec<PhoneRow>,
}

/// The phones in figures; revoked and lost ones don't count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    /// Phones in use.
    pub phones: u64,
    /// Of those, not heard of for seven days, or never.
    pub silent: u64,
    /// Of those, without the newest changes of the others.
    pub behind: u64,
}

/// A phone.
#[derive(Debug, Clone)]
pub struct PhoneRow {
    /// Whose.
    pub name: String,
    /// The start of its id.
    pub device: String,
    /// When it last synced, in words.
    pub last_sync: String,
    /// How many changes it hasn't read.
    pub behind: u64,
    /// Not heard of for long.
    pub silent: bool,
    /// No longer allowed.
    pub revoked: bool,
    /// Reported lost: in words, and where what it handed over is listed.
    pub lost: Option<(&'static str, String)>,
}

impl PhoneRow {
    fn is_out(&self) -> bool {
        self.revoked || self.lost.is_some()
    }
}

/// The start of a device's id, enough to tell two phones of one person apart.
pub fn short_id(device: DeviceId) -> String {
    device.to_string().chars().take(6).collect()
}

fn is_silent(device: &Device, now_ms: Millis) -> bool {
    device.last_sync_ms == 0 || device.last_sync_ms.saturating_add(SILENT_AFTER_MS) < now_ms
}

/// True for a phone that is no longer in use.
fn is_out(device: &Device) -> bool {
    device.revoked || device.lost.is_some()
}

impl Freshness {
    /// Counts the phones of a township.
    pub fn load(service: &Service, township: &Township) -> Result<Self, ApiError> {
        let (head, _) = service.storage.head(township.id)?;
        let devices = service.storage.devices(township.id)?;
        Ok(Self::of(&devices, head.seq, township.as_of_ms))
    }

    fn of(devices: &[Device], head: u64, now_ms: Millis) -> Self {
        let used = || devices.iter().filter(|d| !is_out(d) && d.is_phone());
        Self {
            phones: used().count() as u64,
            silent: used().filter(|d| is_silent(d, now_ms)).count() as u64,
            behind: used().filter(|d| d.feed_seq < head).count() as u64,
        }
    }
}

fn load(service: &Service, request: &Request) -> Result<PhonesPage, ApiError> {
    let township = Township::load(service)?;
    let shell = request.shell("phones", &township);
    let (head, _) = service.storage.head(township.id)?;
    let devices = service.storage.devices(township.id)?;
    let names = view::people(service, township.id)?;
    let never = || shell.t("phones.never").to_owned();
    let mut phones: Vec<PhoneRow> = devices
        .iter()
        .filter(|d| d.is_phone())
        .map(|d| PhoneRow {
            name: names.user(d.user),
            device: short_id(d.id),
            last_sync: super::times::minute(d.last_sync_ms).unwrap_or_else(never),
            behind: head.seq.saturating_sub(d.feed_seq),
            silent: is_silent(d, township.as_of_ms) && !is_out(d),
            revoked: d.revoked,
            lost: d.lost.map(|lost| {
                let key = if lost.wiped_ms > 0 { "phones.wiped" } else { "phones.lost" };
                (shell.t(key), format!("/quarantine?device={}", d.id))
            }),
        })
        .collect();
    phones
        .sort_by(|a, b| (a.is_out(), !a.silent, &a.name, &a.device).cmp(&(b.is_out(), !b.silent, &b.name, &b.device)));
    let summary = Freshness::of(&devices, head.seq, township.as_of_ms);
    Ok(PhonesPage { shell, summary, phones })
}

/// `GET /phones`.
pub async fn get_phones(_: Office, State(app): State<Arc<App>>, request: Request) -> Response {
    let (service, asked) = (app.service.clone(), request.clone());
    let page = app.blocking(move || load(&service, &asked)).await;
    request.answer(page.and_then(|page| page))
}

#[cfg(test)]
impl PhonesPage {
    /// For tests.
    pub fn sample(language: crate::messages::Language) -> Self {
        let row = |name: &str, last_sync: &str, silent, revoked| PhoneRow {
            name: name.to_owned(),
            device: "a1b2c3".to_owned(),
            last_sync: last_sync.to_owned(),
            behind: 12,
            silent,
            revoked,
            lost: revoked
                .then(|| (Shell::sample("phones", language).t("phones.wiped"), "/quarantine?device=00".to_owned())),
        };
        Self {
            shell: Shell::sample("phones", language),
            summary: Freshness { phones: 2, silent: 1, behind: 2 },
            phones: vec![
                row("王<script>", "2020-06-01 08:00", true, false),
                row("李四", "2020-06-30 08:00", false, false),
                row("赵六", "2020-05-30 08:00", false, true),
            ],
        }
    }
}
