//! Who may go.

use super::*;

#[test]
fn who_goes_leaves_a_quorum_behind() {
    let check = |voters: &[&[u64]], away: &[u64], id: u64| {
        let voters: Vec<BTreeSet<u64>> = voters.iter().map(|set| set.iter().copied().collect()).collect();
        let at_hand = (1..=9).filter(|id| !away.contains(id)).collect();
        goes_on_without(&voters, &at_hand, id)
    };
    assert_eq!(check(&[&[1, 2, 3]], &[], 3), Ok(()));
    assert_eq!(check(&[&[1, 2, 3]], &[3], 3), Ok(()), "who is dead may go");
    let refused = check(&[&[1, 2, 3]], &[3], 2).unwrap_err();
    assert!(refused.contains("[3] do not"), "{refused}");
    assert_eq!(check(&[&[1, 2, 3, 4, 5]], &[4, 5], 4), Ok(()));
    assert!(check(&[&[1, 2, 3, 4, 5]], &[4, 5], 3).is_err(), "two of four are no majority");
    assert_eq!(check(&[&[1, 2]], &[], 2), Ok(()));
    assert!(check(&[&[1, 2]], &[1], 2).is_err());
    assert!(check(&[&[1]], &[], 1).unwrap_err().contains("the only one"));
    assert!(check(&[&[1, 2, 3], &[1, 2, 4]], &[], 3).unwrap_err().contains("under way"));
}
