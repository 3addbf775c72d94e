//! Databases of their own on the test run's PostgreSQL server (`DOORSTEP_TEST_POSTGRES`).
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "says that a test was skipped")]

/// The address of a fresh database of this name and process, in place of one that there was; `None` where the test run has no
/// server, which CI always has.
pub fn fresh_database(name: &str) -> Option<String> {
    let Ok(server) = std::env::var("DOORSTEP_TEST_POSTGRES") else {
        assert!(std::env::var_os("CI").is_none(), "CI must bring a PostgreSQL");
        eprintln!("skipped: no DOORSTEP_TEST_POSTGRES");
        return None;
    };
    let name = format!("{name}_{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.expect("the server");
        let connection = tokio::spawn(connection);
        for statement in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")] {
            client.batch_execute(&statement).await.expect("a statement that can be run");
        }
        drop(client);
        connection.await.expect("no panic").expect("a connection that ends well");
    });
    let (base, _) = server.rsplit_once('/').expect("an address with a database");
    Some(format!("{base}/{name}"))
}
