use super::*;

#[test]
fn states_and_reasons_are_told_apart() {
    let shutoff =
        |reason: sys::virDomainShutoffReason| power(sys::VIR_DOMAIN_SHUTOFF, i32::try_from(reason).unwrap());
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_UNKNOWN), (false, None));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN), (false, Some(OffCause::Shutdown)));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_DESTROYED), (false, Some(OffCause::Destroyed)));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_CRASHED), (false, Some(OffCause::Crashed)));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_FAILED), (false, Some(OffCause::Crashed)));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_DAEMON), (false, Some(OffCause::Crashed)));
    assert_eq!(shutoff(sys::VIR_DOMAIN_SHUTOFF_MIGRATED), (false, None));
    assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, -1), (false, None));
    assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, 99), (false, None));
    for alive in [
        sys::VIR_DOMAIN_NOSTATE,
        sys::VIR_DOMAIN_RUNNING,
        sys::VIR_DOMAIN_BLOCKED,
        sys::VIR_DOMAIN_PAUSED,
        sys::VIR_DOMAIN_SHUTDOWN,
        sys::VIR_DOMAIN_PMSUSPENDED,
    ] {
        assert_eq!(power(alive, 1), (true, None));
    }
    assert_eq!(power(sys::VIR_DOMAIN_CRASHED, 1), (false, Some(OffCause::Crashed)));
}
