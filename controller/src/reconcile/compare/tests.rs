//! Who is right, where replicas differ.

use super::*;

fn members(voters: &[&[u64]]) -> Members {
    let voters: Vec<BTreeSet<u64>> = voters.iter().map(|set| set.iter().copied().collect()).collect();
    let addresses = voters.iter().flatten().map(|id| (*id, String::new())).collect();
    Members { voters, addresses, ..Members::default() }
}

fn check(voters: &[&[u64]], had: &[(u64, &str)], expected: Verdict) {
    let had = had.iter().map(|(id, digest)| (*id, (*digest).to_owned())).collect();
    assert_eq!(judge(&members(voters), &had), expected, "{voters:?} {had:?}");
}

fn differ(agreed: &str, wrong: &[u64]) -> Verdict {
    Verdict::Differ { agreed: agreed.to_owned(), wrong: wrong.iter().copied().collect() }
}

#[test]
fn the_majority_of_all_voters_is_right() {
    let three: &[&[u64]] = &[&[1, 2, 3]];
    check(three, &[(1, "a"), (2, "a"), (3, "a")], Verdict::Same);
    check(three, &[(1, "a"), (2, "a")], Verdict::Same);
    check(three, &[(1, "a")], Verdict::Unknown);
    check(three, &[], Verdict::Unknown);
    check(three, &[(1, "a"), (2, "b"), (3, "a")], differ("a", &[2]));
    check(three, &[(1, "a"), (2, "b")], Verdict::NoMajority);
    check(three, &[(1, "a"), (2, "b"), (3, "c")], Verdict::NoMajority);
    // One that only listens is judged, and does not judge.
    check(three, &[(1, "a"), (2, "a"), (4, "b")], differ("a", &[4]));
    check(&[&[1, 2]], &[(1, "a"), (2, "b"), (3, "b")], Verdict::NoMajority);
    check(&[&[1, 2, 3, 4]], &[(1, "a"), (2, "a"), (3, "b"), (4, "b")], Verdict::NoMajority);
}

#[test]
fn while_members_change_both_sets_have_to_agree() {
    let changing: &[&[u64]] = &[&[1, 2, 3], &[2, 3, 4]];
    check(changing, &[(1, "a"), (2, "a"), (3, "b"), (4, "b")], Verdict::NoMajority);
    check(changing, &[(1, "b"), (2, "a"), (3, "a"), (4, "a")], differ("a", &[1]));
}
