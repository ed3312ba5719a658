//! Coalescing against doing it one by one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::rows::{ResourceKey, Whole, Write};
use super::super::testing::{audit, key, row, whole};
use super::Coalesced;

/// The tables, as far as coalescing can change what becomes of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tables {
    resources: BTreeMap<ResourceKey, String>,
    answers: BTreeMap<Uuid, (u64, String)>,
    audit: Vec<i64>,
}

impl Tables {
    fn write(&mut self, write: &Write) {
        match write {
            Write::PutResource(row) => {
                self.resources.insert(row.key.clone(), row.body.clone());
            }
            Write::DeleteResource(key) => {
                self.resources.remove(key);
            }
            Write::PutAnswer { request_id, log_index, answer } => {
                self.answers.insert(*request_id, (*log_index, answer.clone()));
            }
            Write::DropAnswersUpTo { log_index } => self.answers.retain(|_, (index, _)| *index > *log_index),
            Write::Audit(row) => self.audit.push(row.log_index),
            Write::Replace(whole) => self.replace(whole),
            Write::AuditGap { .. } => {}
        }
    }

    fn replace(&mut self, whole: &Whole) {
        self.resources = whole.0.resources().map(|row| (row.key, row.body)).collect();
        self.answers = whole.0.answers().map(|(id, index, answer)| (id, (index, answer))).collect();
    }

    /// In the order in which `commit` does it.
    fn write_coalesced(&mut self, writes: &Coalesced<'_>) {
        if let Some(whole) = writes.replace {
            self.replace(whole);
        }
        if let Some(up_to) = writes.drop_answers_up_to {
            self.answers.retain(|_, (index, _)| *index > up_to);
        }
        writes.deleted().for_each(|key| drop(self.resources.remove(key)));
        writes.put().for_each(|row| drop(self.resources.insert(row.key.clone(), row.body.clone())));
        for (id, (index, answer)) in &writes.answers {
            self.answers.insert(*id, (*index, (*answer).to_owned()));
        }
        self.audit.extend(writes.audit.iter().map(|row| row.log_index));
    }
}

/// A small generator (xorshift), so that a failure is a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn random_write(dice: &mut Dice, log_index: u64) -> Write {
    let name = format!("vm-{}", dice.roll(5));
    match dice.roll(40) {
        0 => Write::Replace(whole(vec![row("vm-0", "of another"), row("vm-4", "of another")])),
        1..=12 => Write::DeleteResource(key(&name)),
        13..=24 => Write::PutResource(row(&name, &format!("{log_index}"))),
        25..=30 => Write::PutAnswer {
            request_id: Uuid::from_u128(dice.roll(6).into()),
            log_index,
            answer: format!("{log_index}"),
        },
        31..=34 => Write::DropAnswersUpTo { log_index: log_index.saturating_sub(dice.roll(12)) },
        _ => Write::Audit(audit(log_index.cast_signed(), 0)),
    }
}

#[test]
fn ends_as_one_by_one() {
    for seed in 1..=500 {
        let mut dice = Dice(seed);
        let (mut plain, mut coalesced) = (Tables::default(), Tables::default());
        let mut log_index = 0;
        for _ in 0..4 {
            let writes: Vec<Write> = (0..dice.roll(30))
                .map(|_| {
                    log_index += 1;
                    random_write(&mut dice, log_index)
                })
                .collect();
            writes.iter().for_each(|write| plain.write(write));
            coalesced.write_coalesced(&Coalesced::of(&writes));
            assert_eq!(coalesced, plain, "seed {seed}: {writes:#?}");
        }
    }
}

#[test]
fn a_row_is_written_once_however_often_it_changed() {
    let mut writes: Vec<Write> = (0..100).map(|n| Write::PutResource(row("one", &n.to_string()))).collect();
    writes.push(Write::PutResource(row("two", "2")));
    writes.push(Write::DeleteResource(key("two")));
    let end = Coalesced::of(&writes);
    assert_eq!(end.put().map(|row| row.body.as_str()).collect::<Vec<_>>(), ["99"]);
    assert_eq!(end.deleted().collect::<Vec<_>>(), [&key("two")]);
}

#[test]
fn what_came_before_another_state_is_not_written() {
    let writes = [
        Write::PutResource(row("old", "1")),
        Write::DropAnswersUpTo { log_index: 9 },
        Write::Replace(whole(vec![row("whole", "2")])),
        Write::DeleteResource(key("whole")),
        Write::PutResource(row("new", "3")),
    ];
    let end = Coalesced::of(&writes);
    assert!(end.replace.is_some());
    assert_eq!(end.drop_answers_up_to, None);
    assert_eq!(end.deleted().collect::<Vec<_>>(), [&key("whole")]);
    assert_eq!(end.put().map(|row| row.key.name.as_str()).collect::<Vec<_>>(), ["new"]);
}
