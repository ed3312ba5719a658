use super::*;
use crate::fixture::*;
use crate::refusal::RefusalClass;
use serde_json::json;

fn spec(user_data: &str) -> Spec {
    Spec::parse(rempart_api::Kind::Instance, &instance_with("boot", json!({"userData": user_data}))).unwrap()
}

fn check(user_data: &str, refused: Option<&str>) {
    match (spec(user_data).check_clear_secrets(), refused) {
        (Ok(()), None) => {}
        (Err(refusal), Some(words)) => {
            assert_eq!(refusal.sources[0].pointer, "/spec/userData");
            assert!(refusal.detail.contains(words), "{}", refusal.detail);
        }
        (result, _) => panic!("{result:?}"),
    }
}

#[test]
fn the_bound_is_that_of_the_clear_text() {
    check(&"\u{1f600}".repeat(65_536), None);
    check(&"x".repeat(65_537), Some("at most 65536"));
}

#[test]
fn nobody_sends_what_looks_sealed() {
    check("sealed:v1:AAAA", Some("sealed:v1:"));
}

#[test]
fn a_spec_without_secrets_has_none() {
    let mut spec = Spec::parse(rempart_api::Kind::BlockStorage, &volume_spec(1)).unwrap();
    assert!(spec.secrets_mut().is_empty());
    let mut spec = Spec::parse(rempart_api::Kind::Instance, &instance_spec("boot")).unwrap();
    assert!(spec.secrets_mut().is_empty());
}

#[test]
fn the_longest_clear_text_fits_sealed_and_nothing_longer_is_stored() {
    let mut world = World::new();
    world.created(&volume("boot"), volume_spec(1));
    let sealed = |bytes: usize| format!("{SEALED_PREFIX}{}", "A".repeat(bytes.div_ceil(3) * 4));
    let longest = sealed(65_536 * 4 + 12 + 16);
    let put = |world: &mut World, text: &str| {
        world.put(&instance("vm"), instance_with("boot", json!({"userData": text})))
    };
    let pointer = refused(put(&mut world, &sealed(65_536 * 4 + 2048)), RefusalClass::Invalid, "bytes sealed");
    assert_eq!(pointer, "/spec/userData");
    put(&mut world, &longest).unwrap();
}
