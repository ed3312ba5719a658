use serde_json::json;

use super::*;

fn view(state: &str, power: &str, reason: &str, message: &str) -> ResourceView {
    let body = json!({
        "metadata": {
            "name": "x", "apiVersion": "v1", "kind": "k", "provider": "p", "resource": "r", "ref": "f", "verb": "GET",
        },
        "spec": {},
        "status": {
            "state": state, "powerState": power,
            "conditions": [
                { "state": state, "lastTransitionAt": "2026-11-23T20:05:12Z", "reason": reason, "message": message },
            ],
        },
    });
    serde_json::from_value(body).unwrap()
}

#[test]
fn a_goal_is_reached_waited_for_or_out_of_reach() {
    let waiting = |text: &str| Stand::Waiting(text.to_owned());
    let failed = |text: &str| Stand::Failed(text.to_owned());
    let check = |view: Option<ResourceView>, goal, expected: Stand| {
        assert_eq!(stand(view.as_ref(), goal), expected);
    };
    let on = Goal::Power(PowerState::On);
    check(Some(view("active", "off", "", "")), Goal::Active, Stand::Reached);
    check(
        Some(view("pending", "off", "NoHost", "No machine.")),
        Goal::Active,
        waiting("pending. No machine."),
    );
    check(Some(view("error", "off", "X", "It broke.")), Goal::Active, failed("has failed: It broke."));
    check(None, Goal::Active, failed("was deleted meanwhile"));
    check(None, Goal::Gone, Stand::Reached);
    check(Some(view("deleting", "off", "", "")), Goal::Gone, waiting("deleting"));
    check(Some(view("deleting", "off", "", "")), Goal::Active, failed("is being deleted"));
    check(Some(view("active", "on", "", "")), on, Stand::Reached);
    check(Some(view("updating", "on", "", "")), on, waiting("updating"));
    check(Some(view("active", "off", "Returning", "Back soon.")), on, waiting("active. Back soon."));
    check(
        Some(view("active", "off", "GuestCrashed", "It crashed.")),
        on,
        failed("did not stay on: It crashed."),
    );
    check(Some(view("active", "off", "", "")), Goal::Power(PowerState::Off), Stand::Reached);
}
