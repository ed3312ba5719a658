//! Reading back all of it at once, which a replica does once, when it starts.

use std::borrow::Cow;

use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::StoreError;
use super::rows::{Loaded, Mark, ResourceKey, ResourceRow};
use super::session::Place;

/// Everything, as of one moment. Rows are streamed: Postgres and the driver hold a few at a time, only the result grows.
pub(super) async fn load(connection: &mut PgConnection, place: &Place) -> Result<Loaded, StoreError> {
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(place.failed("begin reading"))?;
    let mark = load_mark(&mut transaction).await.map_err(place.failed("read the mark"))?;
    let resources = load_resources(&mut transaction).await.map_err(place.failed("read the resources"))?;
    let answers = load_answers(&mut transaction).await.map_err(place.failed("read the answers"))?;
    transaction.commit().await.map_err(place.failed("end reading"))?;
    Ok(Loaded { mark, resources, answers })
}

async fn load_mark(connection: &mut PgConnection) -> Result<Option<Mark>, sqlx::Error> {
    sqlx::query(
        "SELECT applied_index, log_position, membership, core, digest FROM replica WHERE applied_index IS NOT NULL",
    )
    .fetch_optional(connection)
    .await?
    .map(|row| {
        Ok(Mark {
            applied_index: row.try_get::<i64, _>(0)?.cast_unsigned(),
            position: row.try_get(1)?,
            membership: row.try_get(2)?,
            core: row.try_get(3)?,
            digest: row.try_get(4)?,
        })
    })
    .transpose()
}

async fn load_resources(connection: &mut PgConnection) -> Result<Vec<ResourceRow>, sqlx::Error> {
    // An exact count costs a second scan; the planner's estimate is enough to size the vector.
    let estimate: i64 = sqlx::query_scalar(
        "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'resource'::regclass",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut resources = Vec::with_capacity(usize::try_from(estimate).unwrap_or_default());
    let mut rows = sqlx::query(
        "SELECT kind, tenant, workspace, network, name, uid, resource_version, changed_index, \
                created_at_ms, modified_at_ms, deleted_at_ms, body::text FROM resource",
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        resources.push(resource(&row)?);
    }
    Ok(resources)
}

fn resource(row: &PgRow) -> Result<ResourceRow, sqlx::Error> {
    Ok(ResourceRow {
        key: ResourceKey {
            kind: Cow::Owned(row.try_get(0)?),
            tenant: row.try_get(1)?,
            workspace: row.try_get(2)?,
            network: row.try_get(3)?,
            name: row.try_get(4)?,
        },
        uid: row.try_get(5)?,
        resource_version: row.try_get(6)?,
        changed_index: row.try_get(7)?,
        created_at_ms: row.try_get(8)?,
        modified_at_ms: row.try_get(9)?,
        deleted_at_ms: row.try_get(10)?,
        body: row.try_get(11)?,
    })
}

async fn load_answers(connection: &mut PgConnection) -> Result<Vec<(Uuid, u64, String)>, sqlx::Error> {
    sqlx::query("SELECT request_id, log_index, answer::text FROM answer ORDER BY log_index")
        .fetch(connection)
        .try_fold(Vec::new(), |mut answers, row| async move {
            answers.push((row.try_get(0)?, row.try_get::<i64, _>(1)?.cast_unsigned(), row.try_get(2)?));
            Ok(answers)
        })
        .await
}
