//! Tokens that work once.

use super::*;

fn redeem(world: &mut World, token: &TokenUse, urn: Option<Urn>) -> Outcome {
    let redeem = RedeemCommand { token: token.clone(), purpose: "console serial".into(), urn };
    world.apply(Command::Redeem(redeem))
}

fn enrol(world: &mut World, host: &str, token: &TokenUse) -> Outcome {
    world.apply(Command::Enrol(EnrolCommand {
        host: host.into(),
        uid: Uuid::from_u128(77 << 64),
        zone: None,
        key_sha256: "a".repeat(64),
        token: token.clone(),
    }))
}

#[test]
fn a_token_works_once_whatever_it_is_used_for() {
    let mut world = World::new();
    let token = world.token(60);
    assert_eq!(redeem(&mut world, &token, None), Ok(Answer::Accepted));
    refused(redeem(&mut world, &token, None), RefusalClass::Conflict, "used before");
    refused(enrol(&mut world, "h9", &token), RefusalClass::Conflict, "used before");
    assert!(world.gone(&Urn::global(Kind::Host, "h9")));
    let other = world.token(60);
    assert_eq!(enrol(&mut world, "h9", &other), Ok(Answer::Accepted));
    refused(redeem(&mut world, &other, None), RefusalClass::Conflict, "used before");
}

#[test]
fn a_repeated_request_is_answered_alike() {
    let mut world = World::new();
    let token = world.token(60);
    let redeem = Command::Redeem(RedeemCommand { token, purpose: "console vnc".into(), urn: None });
    let envelope = world.envelope(redeem);
    assert_eq!(world.apply_envelope(&envelope).outcome, Ok(Answer::Accepted));
    let again = world.apply_envelope(&envelope);
    assert!(again.repeated && again.outcome == Ok(Answer::Accepted));
}

#[test]
fn an_expired_token_is_refused_by_the_clock_of_state() {
    let mut world = World::new();
    let token = world.token(1);
    refused(redeem(&mut world, &token, None), RefusalClass::Conflict, "expired");
    refused(enrol(&mut world, "h9", &token), RefusalClass::Conflict, "expired");
    // A leader whose clock is behind makes it no younger.
    world.clock -= 3_600_000;
    refused(redeem(&mut world, &token, None), RefusalClass::Conflict, "expired");
}

#[test]
fn used_ids_are_kept_until_they_expire_and_no_longer() {
    let mut world = World::new();
    let (short, long) = (world.token(60), world.token(3600));
    redeem(&mut world, &short, None).unwrap();
    redeem(&mut world, &long, None).unwrap();
    let kept = |world: &World| world.state.core().redeemed.keys().copied().collect::<Vec<_>>();
    assert_eq!(kept(&world), [short.id, long.id]);
    world.clock += 61_000;
    let next = world.token(60);
    redeem(&mut world, &next, None).unwrap();
    assert_eq!(kept(&world), [long.id, next.id], "what expired is forgotten");
    refused(redeem(&mut world, &short, None), RefusalClass::Conflict, "expired");
    refused(redeem(&mut world, &long, None), RefusalClass::Conflict, "used before");
}

#[test]
fn what_it_is_for_must_be_there() {
    let mut world = World::with_active_instance();
    let token = world.token(600);
    refused(
        redeem(&mut world, &token, Some(instance("other"))),
        RefusalClass::NotFound,
        "instances/other does not exist",
    );
    world.deleted(&instance("vm"));
    refused(redeem(&mut world, &token, Some(instance("vm"))), RefusalClass::Conflict, "being deleted");
    world.report("h1");
    refused(redeem(&mut world, &token, Some(instance("vm"))), RefusalClass::NotFound, "does not exist");
    assert_eq!(redeem(&mut world, &token, Some(volume("boot"))), Ok(Answer::Accepted), "it was not used up");
}

#[test]
fn so_many_used_tokens_and_no_more_but_hosts_still_join() {
    let mut world = World::new();
    let clock = world.clock;
    for number in 0..4096u128 {
        let token = TokenUse {
            id: Uuid::from_u128(number + (9 << 100)),
            expires_at: Timestamp::from_unix_ms(clock + 10_000_000),
        };
        let redeem = Command::Redeem(RedeemCommand { token, purpose: "test".into(), urn: None });
        let envelope = world.envelope(redeem);
        let index = world.state.applied_index() + 1;
        world.state.apply(index, &envelope).outcome.unwrap();
    }
    let token = world.token(60);
    refused(redeem(&mut world, &token, None), RefusalClass::Conflict, "too many");
    assert_eq!(enrol(&mut world, "h9", &token), Ok(Answer::Accepted));
    world.clock = clock + 10_000_000;
    let token = world.token(60);
    assert_eq!(redeem(&mut world, &token, None), Ok(Answer::Accepted));
    assert_eq!(world.state.core().redeemed.len(), 1);
}
