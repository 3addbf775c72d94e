//! Publishing forms over the JSON API.

use data_encoding::BASE64;
use doorstep_server::api::forms::FORM_BODY_MAX;
use doorstep_server::api::office::OfficeAccess;
use doorstep_server::app::{self, App};
use doorstep_tests::harness::{TestServer, sync};
use serde_json::{Value, json};
use tempfile::TempDir;

const SURVEY: &str = r#""survey",,,
,"type","name","label"
,"select_one_from_file hamlets.csv","hamlet","Which hamlet?"
"settings",,,
,"form_id","form_title",
,"hamlets_seen","Hamlets",
"#;
const LIST: &str = "name,label\nupper,Upper\n";

fn post(url: &str, kind: &str, body: impl Into<reqwest::blocking::Body>) -> (u16, Value) {
    let request = crate::client().post(url).header("content-type", kind).body(body);
    let response = request.send().unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
}

fn parcel(workbook: &str, files: &[(&str, &str)]) -> String {
    let files: serde_json::Map<String, Value> =
        files.iter().map(|(name, text)| ((*name).to_owned(), BASE64.encode(text.as_bytes()).into())).collect();
    json!({"workbook": BASE64.encode(workbook.as_bytes()), "files": files}).to_string()
}

#[test]
fn an_office_publishes_a_workbook_with_its_lists_and_phones_get_it() {
    let dirs: Vec<TempDir> = (0..2).map(|_| TempDir::new().unwrap()).collect();
    let server = TestServer::start(dirs[0].path());
    let url = format!("{}/api/forms", server.url());
    let (status, said) = post(&url, "text/csv", SURVEY);
    assert_eq!((status, said["refused"]["code"].as_str()), (422, Some("missing_files")));
    assert!(said["refused"]["message"]["zh"].as_str().unwrap().contains("hamlets.csv"));
    assert_eq!(said["files"], json!(["hamlets.csv"]));
    let whole = parcel(SURVEY, &[("hamlets.csv", LIST)]);
    let (status, said) = post(&format!("{url}?check=true"), "application/json", whole.clone());
    assert_eq!((status, said["publishable"].as_bool(), &said["published"]), (200, Some(true), &Value::Null));
    let (status, said) = post(&url, "application/json", whole.clone());
    assert_eq!((status, said["published"]["version"].as_u64()), (200, Some(1)), "{said}");
    assert_eq!(said["tree"][0]["name"], "hamlet", "as form check shows it");
    let (_, again) = post(&url, "application/json", whole);
    assert_eq!(again["published"]["is_new"], false);
    let phone = server.phone(dirs[1].path(), "甲");
    sync(&phone);
    assert_eq!(phone.form("hamlets_seen").unwrap().attached().len(), 1);
    let (status, said) = post(&format!("{url}/hamlets_seen/1/retire"), "text/plain", "");
    assert_eq!((status, said["newly"].as_bool(), &said["current"]), (200, Some(true), &Value::Null));
    assert_eq!(post(&format!("{url}/hamlets_seen/9/retire"), "text/plain", "").0, 404);
    sync(&phone);
    assert!(phone.form("hamlets_seen").is_err());
}

#[test]
fn a_workbook_that_is_refused_gives_its_diagnostics_and_publishes_nothing() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    let url = format!("{}/api/forms", server.url());
    let (status, said) = post(&url, "text/csv", SURVEY.replace("select_one_from_file", "select_won"));
    assert_eq!((status, said["publishable"].as_bool()), (422, Some(false)));
    let problem = &said["problems"][0];
    assert_eq!((problem["severity"].as_str(), problem["row"].as_u64()), (Some("error"), Some(2)), "{said}");
    assert!(problem["message"]["zh"].as_str().is_some() && problem["message"]["en"].as_str().is_some());
    for bytes in [vec![0u8; 1_000], b"PK\x03\x04 and nothing".to_vec(), Vec::new()] {
        assert_eq!(post(&url, "application/octet-stream", bytes).0, 422);
    }
    assert_eq!(post(&url, "application/json", "{}").0, 400);
    assert_eq!(post(&url, "application/octet-stream", vec![0u8; FORM_BODY_MAX + 1]).0, 413);
    assert!(server.service.storage.form_log().unwrap().is_empty());
}

#[test]
fn only_the_office_publishes_and_no_other_site_does_it_for_it() {
    let dir = TempDir::new().unwrap();
    let server = TestServer::start(dir.path());
    let app = App::new(server.service.clone(), OfficeAccess::key("office-key"));
    let (address, task) = server.runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, tokio::spawn(app::run(app, listener, std::future::pending())))
    });
    let url = format!("http://{address}/api/forms");
    assert_eq!(post(&url, "application/json", parcel(SURVEY, &[("hamlets.csv", LIST)])).0, 401);
    assert_eq!(post(&format!("{url}/visit/1/retire"), "text/plain", "").0, 401);
    let by_key = |origin: &str| {
        let request = crate::client().post(&url).header("authorization", "Bearer office-key");
        let request = request.header("content-type", "application/json").header("origin", origin);
        request.body(parcel(SURVEY, &[("hamlets.csv", LIST)])).send().unwrap().status().as_u16()
    };
    assert_eq!(by_key("http://elsewhere.example"), 403);
    assert_eq!(by_key(&format!("http://{address}")), 200);
    task.abort();
}
