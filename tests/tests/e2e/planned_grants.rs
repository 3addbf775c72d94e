//! Grants that are to be given from a day on.

use doorstep_core::id::RecordId;
use doorstep_core::store::ListFilter;
use doorstep_server::service::audit::Actor;
use doorstep_server::service::grants::{GrantError, NewGrant};
use doorstep_tests::harness::{TestServer, add_household, person, sync};
use serde_json::{Value, json};

use super::life::scratch;

const FAR: u64 = 4_000_000_000_000;

#[test]
fn a_pairing_that_is_planned_counts_from_its_day_on_in_place_of_the_one_before() {
    let dirs = scratch::<4>();
    let server = TestServer::start(dirs[0].path());
    let (service, township) = (&server.service, server.township);
    let station = server.phone(dirs[1].path(), "站");
    let household = add_household(&station, server.villages[0], "0001", "李四");
    sync(&station);
    let [now, next] = ["甲", "乙"].map(|name| person(service, name));
    let pairing = |user| NewGrant {
        user,
        role: "helper".into(),
        area: server.villages[0],
        household: Some(household),
        until_ms: None,
        stand_in_for: None,
    };
    service.give(Actor::CommandLine, township, &pairing(now)).unwrap();
    let [before, after] = [(2, now), (3, next)].map(|(dir, user)| server.phone_of(dirs[dir].path(), user));
    let held = |phone: &doorstep_core::client::Phone| {
        sync(phone);
        let rows = phone.list(ListFilter { limit: 10, ..ListFilter::default() }).unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<RecordId>>()
    };
    // by the API, long before: nobody holds it yet, and it can be taken back
    let post = |path: &str, body: Value| {
        let address = format!("{}{path}", server.url());
        crate::client().post(address).json(&body).send().unwrap().status().as_u16()
    };
    let planned = || {
        let text = crate::client().get(format!("{}/api/grants/planned", server.url())).send().unwrap().text().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["planned"].as_array().unwrap().clone()
    };
    let body = |until: Option<u64>| json!({"user": next, "role": "helper", "household": household, "from_ms": FAR, "until_ms": until, "anew": true});
    assert_eq!(post("/api/grants", body(Some(FAR))), 400, "it would end before it begins");
    assert_eq!(post("/api/grants", body(None)), 204);
    assert_eq!((service.give_due_grants().unwrap(), held(&before), held(&after)), (0, vec![household], Vec::new()));
    let [one] = planned().try_into().unwrap();
    assert_eq!((&one["from_ms"], &one["anew"], &one["household"]), (&json!(FAR), &json!(true), &json!(household)));
    let path = format!("/api/grants/planned/{}/end", one["planned"]);
    assert_eq!([post(&path, json!({})), post(&path, json!({}))], [204, 404]);
    assert!(planned().is_empty());
    // due: given with the next housekeeping, once
    let due = (1_000, true);
    service.plan(Actor::CommandLine, township, &pairing(next), due).unwrap();
    assert_eq!([service.give_due_grants().unwrap(), service.give_due_grants().unwrap()], [1, 0]);
    assert_eq!((held(&before), held(&after)), (Vec::new(), vec![household]));
    assert!(planned().is_empty());
    // what can't be given isn't planned; what can't be given any more is dropped with an entry
    let unknown = NewGrant { role: "mayor".into(), ..pairing(next) };
    let refused = service.plan(Actor::CommandLine, township, &unknown, due);
    assert!(matches!(refused, Err(GrantError::UnknownRole(_))), "{refused:?}");
    let own = r#"[{"name":"guest","label":{"zh":"来宾"},"rights":[]}]"#;
    service.set_roles(Actor::CommandLine, own).unwrap();
    let guest = NewGrant { role: "guest".into(), household: None, ..pairing(now) };
    service.plan(Actor::CommandLine, township, &guest, due).unwrap();
    service.set_roles(Actor::CommandLine, "[]").unwrap();
    assert_eq!(service.give_due_grants().unwrap(), 0);
    assert!(planned().is_empty());
    let audit = format!("{}/api/audit?action=grant_planned", server.url());
    let entries: Value = serde_json::from_str(&crate::client().get(audit).send().unwrap().text().unwrap()).unwrap();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 5);
}
