//! `config reference`: the list of all settings, as a table in Markdown. `docs/configuration.md` is made of it.

use clap::Arg;

use super::{FILE_FLAG, Program, is_switch};

pub(super) fn page(settings: &[Arg], program: Program) -> String {
    let mut page = format!(
        "Read from `{}` unless `--config` names another file.\n\n| key | environment | default | meaning |\n\
         |---|---|---|---|\n",
        program.default_file
    );
    for setting in settings {
        let key = setting.get_long().unwrap_or_default();
        let environment =
            setting.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> =
            setting.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match defaults.join(",") {
            _ if key == FILE_FLAG => "see above".to_owned(),
            _ if is_switch(setting) => "`false`".to_owned(),
            none if none.is_empty() && setting.is_required_set() => "must be set".to_owned(),
            none if none.is_empty() => String::new(),
            value => format!("`{value}`"),
        };
        // Clap takes the last full stop off.
        let mut meaning = setting.get_help().map(|help| format!("{help}.")).unwrap_or_default();
        let allowed: Vec<String> = if is_switch(setting) {
            Vec::new()
        } else {
            let values = setting.get_possible_values();
            values.iter().map(|value| format!("`{}`", value.get_name())).collect()
        };
        if !allowed.is_empty() {
            meaning.push_str(&format!(" One of {}.", allowed.join(", ")));
        }
        if setting.get_value_delimiter().is_some() {
            meaning.push_str(" A list.");
        }
        // What looks like a placeholder would be taken for HTML.
        let meaning = meaning.replace('<', "\\<").replace('|', "\\|");
        page.push_str(&format!("| `{key}` | {environment} | {default} | {meaning} |\n"));
    }
    page
}
