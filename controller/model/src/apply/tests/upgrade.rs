//! The cluster version.

use super::*;

fn upgrade(version: u32) -> Command {
    Command::Upgrade(UpgradeCommand { version: ClusterVersion(version) })
}

#[test]
fn it_goes_up_by_one_and_never_down() {
    let mut world = World::new();
    assert_eq!(world.state.core().version, ClusterVersion::FIRST);
    refused(world.apply(upgrade(3)), RefusalClass::Conflict, "goes to version 2 next, not to 3");
    assert_eq!(world.apply(upgrade(2)), Ok(Answer::Done));
    // Two leaders heard the same.
    assert_eq!(world.apply(upgrade(2)), Ok(Answer::Done));
    assert_eq!(world.apply(upgrade(1)), Ok(Answer::Done));
    assert_eq!(world.state.core().version, ClusterVersion(2));
}

#[test]
fn what_a_version_brings_waits_for_it() {
    let mut world = World::new();
    let compare = Command::Digest(DigestCommand { agreed: None });
    refused(world.apply(compare.clone()), RefusalClass::Conflict, "needs cluster version 2");
    assert_eq!(world.apply(upgrade(2)), Ok(Answer::Done));
    assert_eq!(world.apply(compare), Ok(Answer::Done));
}

#[test]
fn a_program_says_which_versions_it_can_run() {
    assert_eq!(ClusterVersion::NEWEST.check_known(), Ok(()));
    assert_eq!(ClusterVersion::OLDEST.check_known(), Ok(()));
    let newer = ClusterVersion::NEWEST.next().check_known().unwrap_err();
    assert!(newer.contains("install the release that the other controllers run"), "{newer}");
    let older = ClusterVersion(ClusterVersion::OLDEST.0 - 1).check_known().unwrap_err();
    assert!(older.contains("one minor release after the other"), "{older}");
}
