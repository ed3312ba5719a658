//! The audit trail of a replica that was given a snapshot: which of it is missing, and how it gets here.
//!
//! A range leaves the list of what is missing only in the transaction that writes its rows. So the list is always true, and
//! whoever finds it empty has all of the history.

use std::ops::RangeInclusive;

use sqlx::{Connection, PgConnection, Row};

use super::rows::AuditRow;
use super::{Opened, Store, StoreError, commit};

pub(super) async fn note_gaps(connection: &mut PgConnection, gaps: &[(u64, u64)]) -> Result<(), sqlx::Error> {
    for (first, last) in gaps {
        sqlx::query("INSERT INTO audit_gap (first_index, last_index) VALUES ($1, $2)")
            .bind(first.cast_signed())
            .bind(last.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Some of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// All rows of the entries up to `complete_to`.
    pub rows: Vec<AuditRow>,
    /// The last entry of which all rows are here.
    pub complete_to: u64,
}

impl Store {
    /// Which of the audit trail is missing here, in order.
    ///
    /// # Errors
    /// When Postgres cannot be read.
    pub async fn audit_gaps(&self) -> Result<Vec<RangeInclusive<u64>>, StoreError> {
        let Opened { session, readers, .. } = self.opened()?;
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("SELECT first_index, last_index FROM audit_gap ORDER BY first_index")
                .fetch_all(readers)
                .await
                .map_err(session.place().failed("read what is missing"))?;
        Ok(rows.into_iter().map(|(first, last)| first.cast_unsigned()..=last.cast_unsigned()).collect())
    }

    /// The audit trail from `entries` on: about `rows` rows of it, at most. None if not all of it is here.
    ///
    /// # Errors
    /// When Postgres cannot be read.
    pub async fn history(
        &self,
        entries: RangeInclusive<u64>,
        rows: u32,
    ) -> Result<Option<History>, StoreError> {
        let (first, last) = entries.into_inner();
        let Opened { session, readers, .. } = self.opened()?;
        let place = session.place();
        let mut reader = readers.acquire().await.map_err(place.failed("give a connection to read with"))?;
        // As of one moment: neither a gap nor the mark may move between the questions.
        let mut reading = reader
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(place.failed("begin reading"))?;
        let (applied, gap): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT applied_index FROM replica), \
                    (SELECT min(first_index) FROM audit_gap WHERE last_index >= $1)",
        )
        .bind(first.cast_signed())
        .fetch_one(&mut *reading)
        .await
        .map_err(place.failed("read what is missing"))?;
        let Some(applied) = applied.map(i64::cast_unsigned) else { return Ok(None) };
        // What is here ends before the next gap.
        let here = gap.map_or(Some(applied), |gap| gap.cast_unsigned().checked_sub(1));
        let Some(last) = here.map(|here| here.min(applied).min(last)).filter(|last| *last >= first) else {
            return Ok(None);
        };
        let found = sqlx::query(
            "SELECT log_index, ordinal, at_ms, request_id, actor, action, subject, outcome::text FROM audit \
             WHERE log_index BETWEEN $1 AND $2 ORDER BY log_index, ordinal LIMIT $3",
        )
        .bind(first.cast_signed())
        .bind(last.cast_signed())
        .bind(i64::from(rows))
        .fetch_all(&mut *reading)
        .await
        .map_err(place.failed("read the audit trail"))?;
        let mut found = found
            .iter()
            .map(audit_row)
            .collect::<Result<Vec<_>, sqlx::Error>>()
            .map_err(place.failed("read the audit trail"))?;
        let mut complete_to = last;
        if found.len() == rows as usize
            && let Some(cut) = found.last().map(|row| row.log_index)
        {
            // Of the entry at the cut there may be more rows.
            found.retain(|row| row.log_index < cut);
            complete_to = cut.cast_unsigned().saturating_sub(1);
        }
        Ok(Some(History { rows: found, complete_to }).filter(|history| history.complete_to >= first))
    }

    /// Takes in what another replica gave of the entries from `first` on, which has to be where a gap begins.
    ///
    /// # Errors
    /// When Postgres does not take it. Nothing is changed then.
    pub async fn fill_audit_gap(&self, first: u64, history: &History) -> Result<(), StoreError> {
        let session = &self.opened()?.session;
        let place = session.place();
        let mut lease = session.lease().await?;
        let mut filling = lease.connection().begin().await.map_err(place.failed("begin a transaction"))?;
        let moved = sqlx::query(
            "UPDATE audit_gap SET first_index = $2 + 1 WHERE first_index = $1 AND last_index > $2",
        )
        .bind(first.cast_signed())
        .bind(history.complete_to.cast_signed())
        .execute(&mut *filling)
        .await
        .map_err(place.failed("move what is missing"))?;
        let closed = sqlx::query("DELETE FROM audit_gap WHERE first_index = $1 AND last_index <= $2")
            .bind(first.cast_signed())
            .bind(history.complete_to.cast_signed())
            .execute(&mut *filling)
            .await
            .map_err(place.failed("move what is missing"))?;
        // Filled before, by an attempt whose answer nobody heard.
        if moved.rows_affected() + closed.rows_affected() > 0 {
            let rows: Vec<&AuditRow> = history.rows.iter().collect();
            commit::append_audit(&mut filling, &rows)
                .await
                .map_err(place.failed("append to the audit trail"))?;
        }
        filling.commit().await.map_err(place.failed("commit a transaction"))?;
        lease.give_back();
        Ok(())
    }
}

fn audit_row(row: &sqlx::postgres::PgRow) -> Result<AuditRow, sqlx::Error> {
    Ok(AuditRow {
        log_index: row.try_get(0)?,
        ordinal: row.try_get(1)?,
        at_ms: row.try_get(2)?,
        request_id: row.try_get(3)?,
        actor: row.try_get(4)?,
        action: row.try_get(5)?,
        subject: row.try_get(6)?,
        outcome: row.try_get(7)?,
    })
}

#[cfg(test)]
mod tests;
