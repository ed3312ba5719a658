//! That something takes longer than it should, added to why.

use rempart_api::Phase;

use super::Explanation;
use crate::object::Object;
use crate::transition::Overdue;

/// Stands behind the reason of what is overdue: `NoHost:Overdue`.
const OVERDUE: &str = "Overdue";

/// `why`, and that it is overdue.
pub(super) fn explain(object: &Object, overdue: &Overdue, why: Option<Explanation>) -> Explanation {
    let info = overdue.step.info();
    let told = why.unwrap_or_else(|| Explanation::new("", info.waits_for, info.waits_for));
    let reason =
        if told.reason.is_empty() { OVERDUE.to_owned() } else { format!("{}:{OVERDUE}", told.reason) };
    let allowed = in_words(overdue.after_s);
    let late = if object.status.state == Phase::Error && overdue.step.has_failed() {
        format!("This was not done within {allowed}. It goes on by itself, and if it succeeds it counts.")
    } else {
        format!("This takes longer than it should ({allowed}).")
    };
    let both = |words: &str| if words.is_empty() { late.clone() } else { format!("{words} {late}") };
    Explanation::new(&reason, both(&told.tenant), both(&told.operator))
}

/// "10 minutes", "90 seconds", "24 hours".
pub(crate) fn in_words(seconds: u64) -> String {
    let (count, noun) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        _ => (seconds / 3600, "hour"),
    };
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
