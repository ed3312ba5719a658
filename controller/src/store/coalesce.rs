//! Many writes become few: what is left of a batch once later writes have replaced earlier ones. Pure.
//!
//! A row that is written a hundred times in one transaction need only be written as it ends up. Postgres insists, too:
//! one `INSERT .. ON CONFLICT` may not touch a row twice.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::rows::{AuditRow, ResourceKey, ResourceRow, Whole, Write};

/// What a transaction has to do: first replace, then drop and delete, then put and append. Ordered by key, so that
/// neighbours in the index are written one after the other.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Coalesced<'w> {
    /// Every resource and answer makes room for these first.
    pub(super) replace: Option<&'w Whole>,
    /// Answers up to this log index go, before any is put.
    pub(super) drop_answers_up_to: Option<u64>,
    /// Each resource as it ends up; `None`: deleted.
    pub(super) resources: BTreeMap<&'w ResourceKey, Option<&'w ResourceRow>>,
    /// Each answer as it ends up, with its log index.
    pub(super) answers: BTreeMap<Uuid, (u64, &'w str)>,
    /// History in order; nothing replaces any of it.
    pub(super) audit: Vec<&'w AuditRow>,
    /// Entries, first and last, whose history is missing.
    pub(super) audit_gaps: Vec<(u64, u64)>,
}

impl<'w> Coalesced<'w> {
    pub(super) fn of(writes: &'w [Write]) -> Coalesced<'w> {
        let mut end = Coalesced::default();
        for write in writes {
            match write {
                Write::PutResource(row) => {
                    end.resources.insert(&row.key, Some(row));
                }
                Write::DeleteResource(key) => {
                    end.resources.insert(key, None);
                }
                Write::PutAnswer { request_id, log_index, answer } => {
                    end.answers.insert(*request_id, (*log_index, answer));
                }
                Write::DropAnswersUpTo { log_index } => {
                    // Right because log indexes of answers only grow: an answer dropped here cannot hide one in the
                    // database that is younger and would have to stay.
                    end.answers.retain(|_, (index, _)| *index > *log_index);
                    end.drop_answers_up_to = end.drop_answers_up_to.max(Some(*log_index));
                }
                Write::Audit(row) => end.audit.push(row),
                Write::AuditGap { first, last } => end.audit_gaps.push((*first, *last)),
                Write::Replace(whole) => {
                    end.replace = Some(whole);
                    end.drop_answers_up_to = None;
                    end.resources.clear();
                    end.answers.clear();
                }
            }
        }
        end
    }

    /// Keys of the rows to delete.
    pub(super) fn deleted(&self) -> impl Iterator<Item = &'w ResourceKey> {
        self.resources.iter().filter_map(|(key, row)| row.is_none().then_some(*key))
    }

    /// Rows to insert or replace.
    pub(super) fn put(&self) -> impl Iterator<Item = &'w ResourceRow> {
        self.resources.values().filter_map(|row| *row)
    }
}

#[cfg(test)]
mod tests;
