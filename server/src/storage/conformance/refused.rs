//! Uploads that were refused as a whole.

use super::*;
use crate::storage::{RefusedLimits, RefusedUpload, RefusedUploadRow};

claims!(
    a_refused_upload_is_kept_whole_with_its_reason,
    the_same_bytes_of_a_device_are_counted_and_not_kept_twice,
    of_a_long_upload_the_beginning_is_kept,
    the_oldest_bytes_go_first_and_their_rows_stay,
    a_device_s_rows_are_bounded_and_take_nothing_from_another_s,
);

const LIMITS: RefusedLimits = RefusedLimits { bytes_each: 100, bytes_device: 250, kept_device: 4, rows_device: 6 };

fn keep(storage: &dyn Storage, device: &Device, received_ms: u64, bytes: &[u8]) {
    let upload = RefusedUpload {
        township: device.township,
        device: device.id,
        received_ms,
        branch: 4_000_000_000,
        number: received_ms + 1,
        reason: "upload_unreadable",
        digest: digest(bytes),
        bytes,
    };
    storage.keep_refused_upload(&upload, &LIMITS).unwrap();
}

/// As unlike for unlike bytes as these tests need.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [bytes[0]; 32];
    digest[0] = bytes.len() as u8;
    digest
}

fn rows(storage: &dyn Storage, device: &Device) -> Vec<RefusedUploadRow> {
    let mut rows = storage.refused_uploads(device.township, None, 100).unwrap();
    rows.retain(|row| row.device == device.id);
    rows
}

/// Bytes kept of each of a device's uploads, newest first.
fn kept(storage: &dyn Storage, device: &Device) -> Vec<u64> {
    let rows = rows(storage, device);
    for row in &rows {
        let bytes = storage.refused_upload_bytes(device.township, row.no).unwrap();
        assert_eq!(bytes.map_or(0, |b| b.len() as u64), row.kept);
    }
    rows.iter().map(|row| row.kept).collect()
}

fn a_refused_upload_is_kept_whole_with_its_reason(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    keep(&*storage, &device, 7_000, &[3; 60]);
    let rows = rows(&*storage, &device);
    let wanted = RefusedUploadRow {
        no: rows[0].no,
        device: device.id,
        first_ms: 7_000,
        last_ms: 7_000,
        times: 1,
        branch: 4_000_000_000,
        number: 7_001,
        reason: "upload_unreadable".to_owned(),
        digest: digest(&[3; 60]),
        size: 60,
        kept: 60,
    };
    assert_eq!(rows, vec![wanted.clone()]);
    assert_eq!(storage.refused_upload_bytes(TOWNSHIP, wanted.no).unwrap(), Some(vec![3; 60]));
    assert_eq!(storage.refused_upload_bytes(OTHER_TOWNSHIP, wanted.no).unwrap(), None);
    assert_eq!(storage.refused_upload_bytes(TOWNSHIP, wanted.no + 1).unwrap(), None);
    assert_eq!(storage.refused_uploads(OTHER_TOWNSHIP, None, 100).unwrap(), Vec::new());
    assert_eq!(storage.refused_uploads(TOWNSHIP, Some(wanted.no), 100).unwrap(), Vec::new());
}

fn the_same_bytes_of_a_device_are_counted_and_not_kept_twice(storage: Arc<dyn Storage>) {
    let (device, other) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, TOWNSHIP));
    for received_ms in [10, 20, 30] {
        keep(&*storage, &device, received_ms, &[1; 50]);
    }
    keep(&*storage, &other, 40, &[1; 50]);
    let row = &rows(&*storage, &device)[0];
    assert_eq!((row.times, row.first_ms, row.last_ms, row.number), (3, 10, 30, 31));
    assert_eq!((kept(&*storage, &device), kept(&*storage, &other)), (vec![50], vec![50]));
}

fn of_a_long_upload_the_beginning_is_kept(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    keep(&*storage, &device, 1, &[2; 200]);
    assert_eq!((rows(&*storage, &device)[0].size, kept(&*storage, &device)), (200, vec![100]));
}

fn the_oldest_bytes_go_first_and_their_rows_stay(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    for n in 1..=3 {
        keep(&*storage, &device, n, &[n as u8; 100]);
    }
    assert_eq!(kept(&*storage, &device), vec![100, 100, 0], "250 bytes a device");
    for n in 4..=6 {
        keep(&*storage, &device, n, &[n as u8; 10]);
    }
    assert_eq!(kept(&*storage, &device), vec![10, 10, 10, 100, 0, 0], "4 uploads a device");
    let rows = rows(&*storage, &device);
    assert!(rows.iter().all(|row| row.reason == "upload_unreadable"));
    assert_eq!(rows.iter().map(|row| row.size).collect::<Vec<_>>(), [10, 10, 10, 100, 100, 100]);
}

fn a_device_s_rows_are_bounded_and_take_nothing_from_another_s(storage: Arc<dyn Storage>) {
    let (device, other) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, TOWNSHIP));
    keep(&*storage, &other, 1, &[9; 90]);
    for n in 1..=40 {
        keep(&*storage, &device, n, &[n as u8; 10]);
    }
    assert_eq!(kept(&*storage, &device), vec![10, 10, 10, 10, 0, 0]);
    assert_eq!(rows(&*storage, &device)[0].first_ms, 40, "the newest stay");
    assert_eq!(kept(&*storage, &other), vec![90]);
    let page = storage.refused_uploads(TOWNSHIP, None, 2).unwrap();
    let next = storage.refused_uploads(TOWNSHIP, Some(page[1].no), 100).unwrap();
    assert_eq!((page.len(), next.len()), (2, 5), "pages join without gap or overlap");
}
