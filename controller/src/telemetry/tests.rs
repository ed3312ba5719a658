use super::*;

#[test]
fn a_host_is_counted_once_and_by_what_matters_most() {
    assert_eq!(PHASES.len(), 6);
    // Every phase has a row: a new one would be counted as "other", which nobody watches.
    for (phase_of, name) in PHASES {
        assert_eq!(phase(phase_of), name);
    }
    assert_eq!(Census::of(&State::default()), Census::default());
}
