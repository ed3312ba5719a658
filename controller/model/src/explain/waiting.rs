//! Why an instance has no host: counts per rule for its tenant, hosts by name for operators.

use std::fmt::Write as _;

use super::Explanation;
use crate::kinds::Spec;
use crate::object::Object;
use crate::placement::{Rule, TOLD_BY_NAME, Verdict, Verdicts};
use crate::state::State;

pub(super) fn explain(state: &State, object: &Object, verdicts: &Verdicts) -> Explanation {
    let verdict = verdicts.of(state, object);
    if verdict.host.is_some() {
        return Explanation::new("NoHost", "A machine was found; placement follows.", "about to be placed");
    }
    if let Spec::Instance(spec) = &object.spec
        && verdict.refusals.contains_key(&Rule::Size)
    {
        let words = format!(
            "Its size ({}) was deleted before the instance could be placed, and an instance keeps its size. Delete the \
             instance and create it with a size that exists; its volumes keep their data. Or have a size of that name \
             created again: then it is placed as soon as a machine can take it.",
            spec.sku_ref.resource
        );
        return Explanation::new("SizeGone", words.clone(), words);
    }
    if verdict.refusals.is_empty() {
        return Explanation::new(
            "NoHost",
            "No machine has joined this region yet. The instance is placed as soon as one does.",
            "no host has joined; enrol one and start its agent",
        );
    }
    let tenant = format!(
        "No machine can take this instance now: {}. It is placed as soon as one can; a smaller SKU or another zone may \
         be placed at once.",
        counts(&verdict)
    );
    let operator = format!("{tenant} By host: {}.", by_name(&verdict));
    Explanation::new("NoHost", tenant, operator)
}

fn counts(verdict: &Verdict) -> String {
    let mut text = String::new();
    for (rule, count) in &verdict.refusals {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{count} {}", rule.tenant_words());
    }
    text
}

fn by_name(verdict: &Verdict) -> String {
    let mut text = String::new();
    for (host, rule) in &verdict.by_name {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}{host} {}", rule.tenant_words());
    }
    let all: usize = verdict.refusals.values().sum();
    if all > TOLD_BY_NAME {
        let _ = write!(text, "; and {} more", all - TOLD_BY_NAME);
    }
    text
}
