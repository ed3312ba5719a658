use super::*;

const NOW: i64 = 1_000_000_000;

fn name(digit: char) -> String {
    format!("{}.qcow2", digit.to_string().repeat(64))
}

fn rows(digits: &[char]) -> Rows {
    Rows(digits.iter().map(|digit| (name(*digit), (4096, vec![format!("images/{digit}")]))).collect())
}

fn unneeded(digit: char) -> Unneeded {
    Unneeded {
        name: name(digit),
        size_bytes: 7,
        known_for_ms: Some(1000),
        stays_for_ms: 5000,
        trouble: String::new(),
    }
}

fn lacks(digits: &[char]) -> Said {
    let lacking = digits.iter().map(|digit| Lacking {
        name: name(*digit),
        known_for_ms: Some(2000),
        trouble: "controller 9 says no".to_owned(),
    });
    Ok(CompareResponse { lacking: lacking.collect(), ..CompareResponse::default() })
}

fn has_besides(digits: &[char]) -> Said {
    let unneeded = digits.iter().map(|digit| unneeded(*digit)).collect();
    Ok(CompareResponse { unneeded, ..CompareResponse::default() })
}

fn judged(rows: &Rows, said: impl IntoIterator<Item = Said>) -> BlobOrphans {
    let said = said.into_iter().enumerate().map(|(at, said)| (at as u64 + 1, said)).collect();
    judge(rows, &said, Timestamp::from_unix_ms(NOW))
}

fn seen(found: &BlobOrphans) -> Vec<(BlobOrphanClass, String, Option<u64>)> {
    found.items.iter().map(|one| (one.class, one.name.clone(), one.controller)).collect()
}

#[test]
fn nothing_is_wrong_with_what_all_have() {
    assert_eq!(judged(&rows(&['a']), [lacks(&[]), has_besides(&[])]), BlobOrphans::default());
}

#[test]
fn what_one_lacks_is_missing_there_and_what_all_lack_is_lost() {
    let found = judged(&rows(&['a', 'b']), [lacks(&['a', 'b']), lacks(&['b']), lacks(&['b'])]);
    let expected = [(BlobOrphanClass::Lost, name('b'), None), (BlobOrphanClass::Missing, name('a'), Some(1))];
    assert_eq!(seen(&found), expected);
    let [lost, missing] = &found.items[..] else { panic!("{found:?}") };
    assert_eq!((lost.bytes, &lost.references[..]), (4096, &["images/b".to_owned()][..]));
    assert_eq!(lost.since, Some(Timestamp::from_unix_ms(NOW - 2000)));
    assert!(lost.message.contains("do not have it: 1, 2, 3. Put") && lost.message.contains(&name('b')));
    assert!(
        missing.message.contains("from one that has it: 2, 3. The last try failed: controller 9 says no.")
    );
}

#[test]
fn of_who_is_silent_nothing_is_concluded() {
    let away = || Err("no answer within 5 s".to_owned());
    let found = judged(&rows(&['a']), [lacks(&['a']), away(), lacks(&['a'])]);
    assert_eq!(found.not_asked, [NotAsked { controller: 2, why: "no answer within 5 s".to_owned() }]);
    assert_eq!(seen(&found), [(BlobOrphanClass::Lost, name('a'), None)]);
    assert!(found.items[0].message.contains("do not have it: 1, 3. Not asked: 2."), "{found:?}");
    assert_eq!(judged(&rows(&['a']), [away(), away()]).items, []);
}

#[test]
fn what_nothing_refers_to_says_when_it_goes_or_why_it_does_not() {
    let said = |one: Unneeded| Ok(CompareResponse { unneeded: vec![one], ..CompareResponse::default() });
    let stuck = Unneeded { stays_for_ms: 0, trouble: "Is a directory".to_owned(), ..unneeded('c') };
    let lately = Unneeded { known_for_ms: None, ..unneeded('c') };
    let found = judged(&rows(&['a']), [said(unneeded('c')), said(stuck), said(lately)]);
    let at = |id| (BlobOrphanClass::Unneeded, name('c'), Some(id));
    assert_eq!(seen(&found), [at(1), at(2), at(3)]);
    let [goes, stuck, lately] = &found.items[..] else { panic!("{found:?}") };
    let goes_at = Timestamp::from_unix_ms(NOW + 5000);
    assert_eq!((goes.bytes, goes.goes_at), (7, Some(goes_at)));
    assert!(goes.message.contains(&format!("removes it by itself, soon after {goes_at}")), "{goes:?}");
    assert!(stuck.message.contains("could not remove it: Is a directory. It tries again"), "{stuck:?}");
    assert!(lately.message.contains("an upload under way") && lately.since.is_none(), "{lately:?}");
}

/// One may be ahead of our State, which decides.
#[test]
fn rows_of_the_state_that_judges_count() {
    let found = judged(&rows(&['a']), [has_besides(&['a']), lacks(&['b'])]);
    assert_eq!(found, BlobOrphans::default());
}

#[test]
fn of_what_could_not_be_said_nothing_is_concluded() {
    let Ok(first) = lacks(&['a']) else { panic!("it answers") };
    let cut = Ok(CompareResponse { more_lacking: true, ..first });
    let found = judged(&rows(&['a', 'b']), [cut, lacks(&['a', 'b'])]);
    assert_eq!(seen(&found), [(BlobOrphanClass::Lost, name('a'), None)], "whether 1 has b is not known");
    assert!(found.more);
}
