//! Reading back all of it at once, which a replica does once, when it starts.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZero;

use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::StoreError;
use super::rows::{Loaded, Mark, ResourceKey, ResourceRow};
use super::session::Place;

/// Rows that are read together. Small enough that all cores have some soon, and large enough that passing them on is nothing.
const ROWS: usize = 2048;

/// Everything, as of one moment. Rows are streamed, and read by other threads while more come: Postgres and the driver hold a
/// few at a time, only what `read` makes of them grows.
pub(super) async fn load<T: Send + 'static>(
    connection: &mut PgConnection,
    place: &Place,
    read: fn(Vec<ResourceRow>) -> T,
) -> Result<Loaded<Vec<T>>, StoreError> {
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(place.failed("begin reading"))?;
    let mark = load_mark(&mut transaction).await.map_err(place.failed("read the mark"))?;
    let resources =
        load_resources(&mut transaction, read).await.map_err(place.failed("read the resources"))?;
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

async fn load_resources<T: Send + 'static>(
    connection: &mut PgConnection,
    read: fn(Vec<ResourceRow>) -> T,
) -> Result<Vec<T>, sqlx::Error> {
    let mut rows = sqlx::query(
        "SELECT kind, tenant, workspace, network, name, uid, resource_version, changed_index, \
                created_at_ms, modified_at_ms, deleted_at_ms, body::text FROM resource",
    )
    .fetch(connection);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (mut parts, mut under_way) = (Vec::new(), VecDeque::new());
    loop {
        let mut part = Vec::with_capacity(ROWS);
        while part.len() < ROWS
            && let Some(row) = rows.try_next().await?
        {
            part.push(row);
        }
        let is_last = part.len() < ROWS;
        if !part.is_empty() {
            under_way.push_back(spawn_blocking(move || {
                Ok::<T, sqlx::Error>(read(part.iter().map(resource).collect::<Result<_, _>>()?))
            }));
        }
        // No more than they can take: Postgres waits for them, and not the rows in memory.
        while under_way.len() > if is_last { 0 } else { 2 * cores }
            && let Some(read) = under_way.pop_front()
        {
            parts.push(read.await.map_err(|_| sqlx::Error::WorkerCrashed)??);
        }
        if is_last {
            return Ok(parts);
        }
    }
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
