//! The silence we promise is the silence openraft keeps.

use super::*;

#[test]
fn the_default_timing_is_accepted() {
    let config = Timing::default().to_config().unwrap();
    // A follower campaigns when a leader was silent for the lease (max) and a timeout between min and max.
    let lease = config.election_timeout_max;
    assert_eq!((lease + config.election_timeout_min, lease + config.election_timeout_max), (750, 1000));
    assert_eq!(config.enable_pre_vote, Some(true));
}

#[test]
fn a_timing_that_cannot_be_kept_is_refused() {
    let millis = Duration::from_millis;
    for (heartbeat, silence_min, silence_max) in
        [(0, 750, 1000), (300, 750, 1000), (100, 500, 1000), (100, 900, 900)]
    {
        let timing = Timing {
            heartbeat: millis(heartbeat),
            silence_min: millis(silence_min),
            silence_max: millis(silence_max),
            ..Timing::default()
        };
        assert!(matches!(timing.to_config(), Err(StartError::Timing(_))), "{timing:?}");
    }
}
