//! A server's data folder with a township, its documents and enrolled phones, made before the server starts.

use std::path::Path;
use std::sync::Arc;

use doorstep_core::clock::{Clock, SystemClock, SystemEntropy, random};
use doorstep_core::id::{AreaId, UserId};
use doorstep_core::protocol::{AreaEntry, GrantEntry};
use doorstep_core::store::{Enrolment, OpenOptions, Store};
use ed25519_dalek::SigningKey;

use super::Fault;
use super::author::{Author, new_device};
use super::workload::Document;
use crate::cli::serve::database_file;
use crate::service::merge::Sender;
use crate::service::{Committer, Service};
use crate::storage::{Committed, SqliteStorage, Storage, User};

/// Changes in one batch of the seeding.
const BATCH_CHANGES: usize = 250;

/// A township in the making.
pub struct Town {
    /// The service on the folder.
    pub service: Arc<Service>,
    /// Its area.
    pub township: AreaId,
    /// Its villages.
    pub villages: Vec<AreaId>,
    /// Groups, in the villages in turn: an area of its own for each of the devices that push at once.
    pub groups: Vec<AreaId>,
}

impl Town {
    /// Makes the township in an empty folder.
    pub fn make(data: &Path, villages: usize, groups: usize) -> Result<Self, Fault> {
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&database_file(data)?)?);
        let service = Service::open(storage, Arc::new(SystemClock), Arc::new(SystemEntropy), Committer::Inline)?;
        let new_area = || AreaId(random(&SystemEntropy));
        let township = new_area();
        let villages: Vec<AreaId> = (0..villages).map(|_| new_area()).collect();
        let groups: Vec<AreaId> = (0..groups).map(|_| new_area()).collect();
        let mut areas = vec![area(township, None, "township", 0)];
        areas.extend(villages.iter().enumerate().map(|(i, v)| area(*v, Some(township), "village", i + 1)));
        let above = villages.iter().cycle();
        areas.extend(groups.iter().zip(above).enumerate().map(|(i, (g, v))| area(*g, Some(*v), "group", i + 1)));
        service.storage.put_areas(township, &areas)?;
        Ok(Self { service, township, villages, groups })
    }

    fn user(&self, area: AreaId) -> Result<User, Fault> {
        let user = User { id: UserId(random(&SystemEntropy)), name: "测量".into(), unit: String::new() };
        self.service.storage.put_users(std::slice::from_ref(&user))?;
        let grant = GrantEntry { grant: 0, role: "helper".into(), area, subject: None, active: true };
        self.service.storage.append_grants(user.id, &[grant.into()])?;
        Ok(user)
    }

    /// A device without a phone's database.
    pub fn author(&self) -> Result<Author, Fault> {
        let user = self.user(self.township)?;
        Author::enrol(&*self.service.storage, self.service.secrets.tenant, user.id, self.township)
    }

    /// Enrols a phone in its folder; it may read `area`.
    pub fn enrol(&self, dir: &Path, area: AreaId) -> Result<(), Fault> {
        let (service, user) = (&self.service, self.user(area)?);
        let signing_seed: [u8; 32] = random(&SystemEntropy);
        let public_key = SigningKey::from_bytes(&signing_seed).verifying_key().to_bytes();
        let device = new_device(user.id, self.township, public_key);
        service.storage.put_device(&device)?;
        let options = OpenOptions { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
        let store = Store::open(dir, options)?.store;
        store.enrol(&Enrolment {
            tenant: service.secrets.tenant,
            tenant_key: service.secrets.tenant_key,
            township: self.township,
            device: device.id,
            user: user.id,
            user_name: user.name,
            signing_seed,
            server_url: "http://127.0.0.1".into(),
            server_identity: service.identity(),
            certificate: None,
        })?;
        Ok(store.close()?)
    }

    /// Stores documents as records, through guard and merge.
    pub fn seed(&self, documents: &[Document]) -> Result<(), Fault> {
        let mut author = self.author()?;
        let storage = &*self.service.storage;
        for part in documents.chunks(BATCH_CHANGES) {
            let mut frames = Vec::with_capacity(part.len());
            for document in part {
                frames.push(author.first_change(document.id, document, self.villages[document.village])?.0);
            }
            let batch = author.sign(frames);
            let sender = Sender::Author { device: &author.device, branch: 0 };
            let push = self.service.merge(sender, 0, SystemClock.now_ms())?.batch(&batch, batch.hash())?;
            let committed = storage.commit_group(&[push])?.pop().ok_or("no answer")??;
            if !matches!(committed, Committed::Done(_)) {
                return Err("the documents could not be stored".into());
            }
        }
        Ok(())
    }
}

fn area(area: AreaId, parent: Option<AreaId>, level: &str, number: usize) -> AreaEntry {
    AreaEntry {
        area,
        parent,
        level: level.to_owned(),
        code: format!("999999001{number:03}"),
        name_zh: format!("测量{number}"),
        name_en: format!("Bench {level} {number}"),
    }
}
