//! `config show`: the settings as they are, each with where it comes from. Passwords are not shown.

use clap::{Arg, ArgMatches};

use super::Sources;

pub(super) fn page(matches: &ArgMatches, settings: &[Arg], sources: &Sources) -> String {
    let mut lines = String::new();
    for setting in settings {
        let key = setting.get_long().unwrap_or_default();
        let raw = matches.try_get_raw(setting.get_id().as_str()).ok().flatten();
        let values: Vec<String> =
            raw.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        let place = sources.place(key);
        let source = match place.strip_suffix(&format!(": {key}")) {
            Some(file) => file,
            None if place == key => "default",
            None => &place,
        };
        let line = if values.is_empty() {
            format!("# {key} is not set\n")
        } else {
            let mut value = values.join(",");
            if setting.is_hide_env_values_set() {
                value = masked(&value);
            }
            format!("{key} = {value:?}  # {source}\n")
        };
        lines.push_str(&line);
    }
    lines
}

/// A URL without its password; anything else that is secret not at all.
pub(super) fn masked(value: &str) -> String {
    const MASK: &str = "***";
    let Some((scheme, rest)) = value.split_once("://") else { return MASK.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        // Parameters may hold a password, too.
        Some((rest, _)) => (rest, format!("?{MASK}")),
        None => (rest, String::new()),
    };
    // A password may hold an unescaped @: the last one ends it.
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:{MASK}@{place}{query}")
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}
