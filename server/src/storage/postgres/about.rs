//! Records about several subjects.

use deadpool_postgres::GenericClient;
use doorstep_core::id::RecordId;

use super::super::about::subjects;
use super::super::{Projection, Result, TownshipId};
use super::run;

/// Brings a record's entries up to date with its projection.
pub(super) async fn file(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    record: RecordId,
    projection: &Projection,
) -> Result<()> {
    let Some(subjects) = subjects(projection) else { return Ok(()) };
    let (township, record) = (township.0.as_slice(), record.0.as_slice());
    let sql = "DELETE FROM about WHERE tenant = $1 AND township = $2 AND record = $3";
    run(c, sql, &[&tenant, &township, &record]).await?;
    let subjects: Vec<&[u8]> = subjects.iter().map(|s| s.0.as_slice()).collect();
    let sql =
        "INSERT INTO about (tenant, township, record, subject) SELECT $1, $2, $3, n.* FROM UNNEST($4::BYTEA[]) AS n
        ON CONFLICT DO NOTHING";
    run(c, sql, &[&tenant, &township, &record, &subjects]).await?;
    Ok(())
}
