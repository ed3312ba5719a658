use std::collections::BTreeMap;

use proptest::prelude::*;
use rempart_api::Kind;

use super::*;

fn owner(number: u8) -> Arc<Urn> {
    Arc::new(Urn::global(Kind::Nic, &format!("n{number}")))
}

fn claim(space: &Space, first: u128, last: u128) -> Claim {
    Claim { space: space.clone(), first, last }
}

#[test]
fn the_ends_of_all_numbers_are_numbers() {
    let mut claims = Claims::default();
    let space = Space::Public(IpVersion::V6);
    claims.take(claim(&space, u128::MAX, u128::MAX), &owner(1));
    claims.take(claim(&space, 0, 0), &owner(2));
    assert_eq!(claims.next_free(&space, u128::MAX), None);
    assert_eq!(claims.next_free(&space, 0), Some(1));
    claims.release(claim(&space, u128::MAX, u128::MAX), &owner(1));
    claims.release(claim(&space, 0, 0), &owner(2));
    assert_eq!(claims, Claims::default());
}

#[test]
fn nobody_lets_go_what_is_anothers() {
    let mut claims = Claims::default();
    claims.take(claim(&Space::Mac, 4, 4), &owner(1));
    claims.take(claim(&Space::Mac, 4, 4), &owner(2));
    claims.release(claim(&Space::Mac, 4, 4), &owner(2));
    claims.release(claim(&Space::Mac, 4, 5), &owner(1));
    assert_eq!(claims.holder(&Space::Mac, 4, 4), Some(&owner(1)));
}

proptest! {
    /// Against the plainest thing that could be right: a map of single numbers.
    #[test]
    fn they_are_what_a_map_of_numbers_is(steps in prop::collection::vec((any::<bool>(), 0..2u8, 0..40u8, 1..6u8), 1..80)) {
        let spaces = [Space::Public(IpVersion::V4), Space::Mac];
        let mut claims = Claims::default();
        let mut plain = BTreeMap::<(u8, u128), u8>::new();
        let mut held = Vec::<(u8, u128, u128, u8)>::new();
        for (number, (takes, space, first, length)) in (0u8..).zip(steps) {
            let (first, last) = (u128::from(first), u128::from(first + length - 1));
            let of = &spaces[usize::from(space)];
            if takes {
                let free = (first..=last).all(|at| !plain.contains_key(&(space, at)));
                prop_assert_eq!(claims.holder(of, first, last).is_none(), free);
                claims.take(claim(of, first, last), &owner(number));
                if free {
                    plain.extend((first..=last).map(|at| ((space, at), number)));
                    held.push((space, first, last, number));
                }
            } else if !held.is_empty() {
                let (space, first, last, number) = held.swap_remove(usize::from(length) % held.len());
                claims.release(claim(&spaces[usize::from(space)], first, last), &owner(number));
                plain.retain(|_, holder| *holder != number);
            }
            for (space, of) in (0..2u8).zip(&spaces) {
                for at in 0..48u128 {
                    let holder = plain.get(&(space, at)).map(|number| owner(*number));
                    prop_assert_eq!(claims.holder(of, at, at).cloned(), holder);
                    let free = (at..).find(|at| !plain.contains_key(&(space, *at)));
                    prop_assert_eq!(claims.next_free(of, at), free);
                }
                let listed: Vec<_> = claims.within(of, 10, 20).map(|(start, end, _)| (start, end)).collect();
                let mut expected: Vec<_> = held.iter()
                    .filter(|(at, first, last, _)| *at == space && *first <= 20 && *last >= 10)
                    .map(|(_, first, last, _)| (*first, *last)).collect();
                expected.sort_unstable();
                prop_assert_eq!(listed, expected);
            }
        }
    }
}
