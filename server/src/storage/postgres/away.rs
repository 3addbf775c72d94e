//! Households that went to another township.

use deadpool_postgres::GenericClient;
use doorstep_core::id::{AreaId, RecordId};
use tokio_postgres::Row;

use super::super::acts::NotTaken;
use super::super::away::{Away, AwayStorage};
use super::super::{Committed, PreparedPush, Result, TownshipId};
use super::{PostgresStorage, array, commit, number, row, rows, run};

impl AwayStorage for PostgresStorage {
    fn away(&self, township: TownshipId, household: RecordId) -> Result<Option<Away>> {
        self.ask(async |c, t| {
            let sql =
                "SELECT household, to_township, upto FROM away WHERE tenant = $1 AND township = $2 AND household = $3";
            let found = row(c, sql, &[&t, &township.0.as_slice(), &household.0.as_slice()]).await?;
            found.as_ref().map(away).transpose()
        })
    }

    fn came_from(&self, township: TownshipId, household: RecordId) -> Result<Vec<TownshipId>> {
        self.ask(async |c, t| {
            let sql =
                "SELECT township FROM away WHERE tenant = $1 AND household = $2 AND to_township = $3 ORDER BY township";
            let found = rows(c, sql, &[&t, &household.0.as_slice(), &township.0.as_slice()]).await?;
            found.iter().map(|r| Ok(AreaId(array(r, 0)?))).collect()
        })
    }

    fn away_behind(&self, township: TownshipId, limit: u32) -> Result<Vec<Away>> {
        self.ask(async |c, t| {
            let sql = "SELECT household, to_township, upto FROM away a WHERE tenant = $1 AND township = $2 AND (
                EXISTS (SELECT 1 FROM record r WHERE r.tenant = $1 AND r.township = $2 AND r.id = a.household AND r.last > a.upto)
                OR EXISTS (SELECT 1 FROM record r
                    WHERE r.tenant = $1 AND r.township = $2 AND r.subject = a.household AND r.last > a.upto))
                ORDER BY household LIMIT $3";
            let found = rows(c, sql, &[&t, &township.0.as_slice(), &i64::from(limit)]).await?;
            found.iter().map(away).collect()
        })
    }

    fn stranded(&self, township: TownshipId, limit: u32) -> Result<Vec<RecordId>> {
        self.ask(async |c, t| {
            let sql = "SELECT id FROM record r WHERE tenant = $1 AND township = $2 AND area = $3 AND subject IS NULL
                AND NOT EXISTS (SELECT 1 FROM away a WHERE a.tenant = $1 AND a.township = $2 AND a.household = r.id)
                ORDER BY last LIMIT $4";
            let nowhere = AreaId::NOWHERE.0.as_slice();
            let found = rows(c, sql, &[&t, &township.0.as_slice(), &nowhere, &i64::from(limit)]).await?;
            found.iter().map(|r| Ok(RecordId(array(r, 0)?))).collect()
        })
    }

    fn note_given(&self, township: TownshipId, household: RecordId, upto: u64) -> Result<()> {
        self.write(async |tx, t| {
            let sql =
                "UPDATE away SET upto = greatest(upto, $4) WHERE tenant = $1 AND township = $2 AND household = $3";
            let upto = upto.cast_signed();
            run(tx, sql, &[&t.id.as_slice(), &township.0.as_slice(), &household.0.as_slice(), &upto]).await?;
            Ok(())
        })
    }

    fn commit_together(&self, pushes: &[PreparedPush]) -> Result<bool> {
        NotTaken::taken(self.write(async |tx, t| {
            let answers = commit::group(tx, t, pushes).await?;
            NotTaken::unless(answers.iter().all(|answer| matches!(answer, Committed::Done(_))))
        }))
    }
}

fn away(r: &Row) -> Result<Away> {
    Ok(Away { household: RecordId(array(r, 0)?), to: AreaId(array(r, 1)?), upto: number(r, 2)? })
}

/// False if it went before.
pub(super) async fn leave(c: &impl GenericClient, tenant: &[u8], township: TownshipId, away: &Away) -> Result<bool> {
    let sql = "INSERT INTO away (tenant, township, household, to_township, upto) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, township, household) DO NOTHING";
    let (household, to, upto) = (away.household.0.as_slice(), away.to.0.as_slice(), away.upto.cast_signed());
    Ok(run(c, sql, &[&tenant, &township.0.as_slice(), &household, &to, &upto]).await? > 0)
}

pub(super) async fn put(c: &impl GenericClient, tenant: &[u8], township: TownshipId, away: &Away) -> Result<()> {
    let sql = "INSERT INTO away (tenant, township, household, to_township, upto) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant, township, household) DO UPDATE SET to_township = excluded.to_township, upto = excluded.upto";
    let (household, to, upto) = (away.household.0.as_slice(), away.to.0.as_slice(), away.upto.cast_signed());
    run(c, sql, &[&tenant, &township.0.as_slice(), &household, &to, &upto]).await?;
    Ok(())
}

pub(super) async fn end(
    c: &impl GenericClient,
    tenant: &[u8],
    township: TownshipId,
    household: RecordId,
) -> Result<()> {
    let sql = "DELETE FROM away WHERE tenant = $1 AND township = $2 AND household = $3";
    run(c, sql, &[&tenant, &township.0.as_slice(), &household.0.as_slice()]).await?;
    Ok(())
}
