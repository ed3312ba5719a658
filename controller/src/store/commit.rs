//! One batch, one transaction, a handful of statements whatever its size.
//!
//! Never is a row written without the mark that says so, and never is a batch applied twice or out of order: the first
//! statement moves the mark from exactly where the batch says it was, or the transaction ends there.

use std::borrow::Cow;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::coalesce::Coalesced;
use super::rows::{AuditRow, Batch, ResourceKey, ResourceRow, Whole};
use super::session::Place;
use super::{StoreError, history};

/// Rows per statement where there are many.
const ROWS: usize = 2000;

/// Commits `batch`. Also `Ok` when the database is already where the batch leads: then it was committed before, and the
/// connection broke before anybody heard.
pub(super) async fn commit(
    connection: &mut PgConnection,
    place: &Place,
    batch: &Batch,
) -> Result<(), StoreError> {
    let writes = Coalesced::of(batch.writes());
    check(batch, &writes)?;
    let mut transaction = connection.begin().await.map_err(place.failed("begin a transaction"))?;
    if !move_mark(&mut transaction, place, batch).await? {
        let found = applied_index(&mut transaction, place).await?;
        transaction.rollback().await.map_err(place.failed("end a transaction"))?;
        return if found == Some(batch.applied_index()) {
            Ok(())
        } else {
            Err(StoreError::OutOfStep { place: place.description(), expected: batch.after(), found })
        };
    }
    let doing = place;
    let connection = &mut *transaction;
    if let Some(whole) = writes.replace {
        replace(connection, whole).await.map_err(doing.failed("replace the state"))?;
    }
    if let Some(log_index) = writes.drop_answers_up_to {
        drop_answers(connection, log_index).await.map_err(doing.failed("drop old answers"))?;
    }
    delete_resources(connection, writes.deleted().collect())
        .await
        .map_err(doing.failed("delete resources"))?;
    put_resources(connection, writes.put().collect()).await.map_err(doing.failed("write resources"))?;
    let answers = writes.answers.iter().map(|(id, (index, answer))| (*id, *index, *answer));
    put_answers(connection, answers.collect()).await.map_err(doing.failed("write answers"))?;
    append_audit(connection, &writes.audit).await.map_err(doing.failed("append to the audit trail"))?;
    history::note_gaps(connection, &writes.audit_gaps).await.map_err(doing.failed("note what is missing"))?;
    transaction.commit().await.map_err(place.failed("commit a transaction"))
}

/// The applied index in the database.
pub(super) async fn applied_index(
    connection: &mut PgConnection,
    place: &Place,
) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT applied_index FROM replica")
        .fetch_one(connection)
        .await
        .map_err(place.failed("read the applied index"))?;
    Ok(found.map(i64::cast_unsigned))
}

/// Refuses what no database could take, before a retry loop gets hold of it.
fn check(batch: &Batch, writes: &Coalesced<'_>) -> Result<(), StoreError> {
    let unstorable = |why: String| Err(StoreError::Unstorable { why });
    let applied_index = batch.applied_index();
    if batch.after() >= Some(applied_index) {
        return unstorable(format!("it leads from {:?} back to {applied_index}", batch.after()));
    }
    if i64::try_from(applied_index).is_err() {
        return unstorable(format!("log index {applied_index} does not fit 63 bits"));
    }
    let has_nul = |key: &&&ResourceKey| {
        [&*key.kind, &key.tenant, &key.workspace, &key.network, &key.name]
            .iter()
            .any(|part| part.contains('\0'))
    };
    if let Some(key) = writes.resources.keys().find(has_nul) {
        return unstorable(format!("the key {key:?} has a NUL in it"));
    }
    Ok(())
}

/// True if the mark was where the batch follows on, and now is where it leads.
async fn move_mark(connection: &mut PgConnection, place: &Place, batch: &Batch) -> Result<bool, StoreError> {
    let mark = batch.mark();
    let moved = sqlx::query(
        "UPDATE replica SET applied_index = $1, log_position = $2::json, membership = $3::json, core = $4::json, \
         digest = $5, committed_at = now() WHERE applied_index IS NOT DISTINCT FROM $6",
    )
    .bind(mark.applied_index.cast_signed())
    .bind(mark.position.to_string())
    .bind(mark.membership.to_string())
    .bind(mark.core.to_string())
    .bind(mark.digest.as_deref())
    .bind(batch.after().map(u64::cast_signed))
    .execute(connection)
    .await
    .map_err(place.failed("move the applied index"))?;
    Ok(moved.rows_affected() == 1)
}

async fn replace(connection: &mut PgConnection, whole: &Whole) -> Result<(), sqlx::Error> {
    sqlx::query("TRUNCATE resource, answer").execute(&mut *connection).await?;
    let mut resources = whole.0.resources();
    loop {
        let some: Vec<ResourceRow> = resources.by_ref().take(ROWS).collect();
        if some.is_empty() {
            break;
        }
        put_resources(&mut *connection, some.iter().collect()).await?;
    }
    let mut answers = whole.0.answers();
    loop {
        let some: Vec<(Uuid, u64, String)> = answers.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        let some = some.iter().map(|(id, index, answer)| (*id, *index, answer.as_str())).collect();
        put_answers(&mut *connection, some).await?;
    }
}

async fn drop_answers(connection: &mut PgConnection, log_index: u64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM answer WHERE log_index <= $1")
        .bind(i64::try_from(log_index).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map(drop)
}

async fn delete_resources(connection: &mut PgConnection, keys: Vec<&ResourceKey>) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM resource r \
         USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) \
               AS gone (kind, tenant, workspace, network, name) \
         WHERE (r.kind, r.tenant, r.workspace, r.network, r.name) \
             = (gone.kind, gone.tenant, gone.workspace, gone.network, gone.name)",
    )
    .bind(column(&keys, |key| &*key.kind))
    .bind(column(&keys, |key| key.tenant.as_str()))
    .bind(column(&keys, |key| key.workspace.as_str()))
    .bind(column(&keys, |key| key.network.as_str()))
    .bind(column(&keys, |key| key.name.as_str()))
    .execute(connection)
    .await
    .map(drop)
}

async fn put_resources(connection: &mut PgConnection, rows: Vec<&ResourceRow>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO resource (kind, tenant, workspace, network, name, uid, resource_version, changed_index, \
                               created_at_ms, modified_at_ms, deleted_at_ms, body) \
         SELECT kind, tenant, workspace, network, name, uid, resource_version, changed_index, \
                created_at_ms, modified_at_ms, deleted_at_ms, body::json \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], \
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[]) \
              AS new (kind, tenant, workspace, network, name, uid, resource_version, changed_index, \
                      created_at_ms, modified_at_ms, deleted_at_ms, body) \
         ON CONFLICT (kind, tenant, workspace, network, name) DO UPDATE SET \
             uid = excluded.uid, resource_version = excluded.resource_version, \
             changed_index = excluded.changed_index, created_at_ms = excluded.created_at_ms, \
             modified_at_ms = excluded.modified_at_ms, deleted_at_ms = excluded.deleted_at_ms, body = excluded.body",
    )
    .bind(column(&rows, |row| &*row.key.kind))
    .bind(column(&rows, |row| row.key.tenant.as_str()))
    .bind(column(&rows, |row| row.key.workspace.as_str()))
    .bind(column(&rows, |row| row.key.network.as_str()))
    .bind(column(&rows, |row| row.key.name.as_str()))
    .bind(column(&rows, |row| row.uid))
    .bind(column(&rows, |row| row.resource_version))
    .bind(column(&rows, |row| row.changed_index))
    .bind(column(&rows, |row| row.created_at_ms))
    .bind(column(&rows, |row| row.modified_at_ms))
    .bind(column(&rows, |row| row.deleted_at_ms))
    .bind(column(&rows, |row| row.body.as_str()))
    .execute(connection)
    .await
    .map(drop)
}

async fn put_answers(
    connection: &mut PgConnection,
    answers: Vec<(Uuid, u64, &str)>,
) -> Result<(), sqlx::Error> {
    if answers.is_empty() {
        return Ok(());
    }
    let request_ids: Vec<Uuid> = answers.iter().map(|(id, ..)| *id).collect();
    let log_indexes: Vec<i64> = answers.iter().map(|(_, index, _)| index.cast_signed()).collect();
    let answers: Vec<&str> = answers.iter().map(|(.., answer)| *answer).collect();
    sqlx::query(
        "INSERT INTO answer (request_id, log_index, answer) \
         SELECT request_id, log_index, answer::json \
         FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS new (request_id, log_index, answer) \
         ON CONFLICT (request_id) DO UPDATE SET log_index = excluded.log_index, answer = excluded.answer",
    )
    .bind(request_ids)
    .bind(log_indexes)
    .bind(answers)
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn append_audit(
    connection: &mut PgConnection,
    rows: &[&AuditRow],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO audit (log_index, ordinal, at_ms, request_id, actor, action, subject, outcome) \
         SELECT log_index, ordinal, at_ms, request_id, actor, action, subject, outcome::json \
         FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[]) \
              AS new (log_index, ordinal, at_ms, request_id, actor, action, subject, outcome)",
    )
    .bind(column(rows, |row| row.log_index))
    .bind(column(rows, |row| row.ordinal))
    .bind(column(rows, |row| row.at_ms))
    .bind(column(rows, |row| row.request_id))
    .bind(column(rows, |row| without_nul(&row.actor)))
    .bind(column(rows, |row| without_nul(&row.action)))
    .bind(column(rows, |row| without_nul(&row.subject)))
    .bind(column(rows, |row| row.outcome.as_str()))
    .execute(connection)
    .await
    .map(drop)
}

/// One field of every row: what `unnest` takes.
fn column<'r, R, T>(rows: &[&'r R], field: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(|row| field(row)).collect()
}

/// Postgres text cannot hold NUL. What people typed is history to be kept, not a reason to stop the log, so NUL is shown
/// by its picture.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{2400}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests;
