//! Connections that break anywhere.

use std::time::Duration;

use doorstep_core::sync::{Cancel, Silent, SyncOptions, SyncReport};
use doorstep_server::link::{Link, LinkOptions};
use doorstep_tests::harness::{TestServer, add_household, sync, try_sync, visit};
use tempfile::TempDir;

#[test]
fn a_sync_cut_at_any_place_in_either_direction_loses_and_doubles_nothing() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let link = server.runtime().block_on(Link::start(server.address, LinkOptions::default())).unwrap();
    let phone = server.phone_at(dirs[1].path(), "甲", &format!("http://{}", link.address));
    let witness = server.phone(dirs[2].path(), "乙");
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    sync(&witness);
    let mut expected = 0;
    for cut in (40..3_000).step_by(97) {
        for n in 0..3 {
            visit(&phone, household, &format!("断点{cut}-{n}"));
            visit(&witness, household, &format!("对方{cut}-{n}"));
        }
        expected += 6;
        sync(&witness);
        link.counts.cut_after(cut);
        let _ = try_sync(&phone);
        link.counts.cut_after(u32::MAX);
        sync(&phone);
        assert_eq!(phone.counts().unwrap().unsent, 0, "cut at {cut}");
        sync(&witness);
        let filter = || doorstep_core::store::ListFilter {
            record_type: Some("visit".into()),
            limit: 10_000,
            ..Default::default()
        };
        assert_eq!(phone.list(filter()).unwrap().len(), expected, "cut at {cut}");
        assert_eq!(witness.list(filter()).unwrap().len(), expected, "cut at {cut}");
    }
    assert!(phone.refused().unwrap().is_empty() && witness.refused().unwrap().is_empty());
}

#[test]
fn a_cut_upload_goes_on_where_it_was_cut() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    // slow enough that the server reads what arrives before the cut
    let options = LinkOptions { rtt: Duration::from_millis(20), bits_per_s: 800_000 };
    let link = server.runtime().block_on(Link::start(server.address, options)).unwrap();
    let phone = server.phone_at(dirs[1].path(), "甲", &format!("http://{}", link.address));
    let household = add_household(&phone, server.villages[0], "0001", "李四");
    sync(&phone);
    for n in 0..150u64 {
        // texts that compress badly, so that the batch is large
        visit(&phone, household, &data_encoding_like(n));
    }
    let whole = phone.cost(false).unwrap().bytes_up;
    assert!(whole > 12_000, "large enough to be cut several times: {whole}");
    let mut report = SyncReport::default();
    link.counts.take();
    for _ in 0..3 {
        link.counts.cut_after(4_500);
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        let _ = phone.engine(options).unwrap().sync_into(&mut report, &Silent, &Cancel::default());
    }
    link.counts.cut_after(u32::MAX);
    sync(&phone);
    let (up, _, _) = link.counts.take();
    assert_eq!(phone.counts().unwrap().unsent, 0);
    assert!(up < whole * 14 / 10, "{up} bytes went up for an upload of {whole}: it must not start over");
}

/// Text without repetition, from a counter.
fn data_encoding_like(n: u64) -> String {
    let entropy = doorstep_core::clock::SeededEntropy::new(n);
    (0..60).map(|_| char::from_u32(0x4e00 + entropy.below(4_000) as u32).unwrap()).collect()
}

#[test]
fn an_initial_pull_that_is_cut_over_and_over_never_starts_over() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap()];
    let server = TestServer::start(dirs[0].path());
    let writer = server.phone(dirs[1].path(), "甲");
    let household = add_household(&writer, server.villages[0], "0001", "李四");
    for n in 0..400 {
        visit(&writer, household, &data_encoding_like(n));
    }
    sync(&writer);
    let options = LinkOptions { rtt: Duration::from_millis(2), bits_per_s: 0 };
    let link = server.runtime().block_on(Link::start(server.address, options)).unwrap();
    let reader = server.phone_at(dirs[2].path(), "乙", &format!("http://{}", link.address));
    let mut held = 0;
    let mut report = SyncReport::default();
    for round in 0.. {
        assert!(round < 60, "the pull must come to an end");
        link.counts.cut_after(20_000);
        let options = SyncOptions { tries: 0, ..SyncOptions::default() };
        let done = reader.engine(options).unwrap().sync_into(&mut report, &Silent, &Cancel::default());
        let now = reader.counts().unwrap().records;
        assert!(now >= held, "what arrived stays");
        held = now;
        if done.is_ok() {
            break;
        }
    }
    assert_eq!(held, 401);
    assert_eq!(report.changes_received, 401, "each change was taken once, over all tries");
}
