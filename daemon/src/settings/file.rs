//! The file: TOML of keys and values, without tables. Each key is a flag without its dashes.

use std::path::Path;

use clap::{Arg, ArgAction};
use toml::de::{DeTable, DeValue};

use super::{FILE_FLAG, SettingsError, check_value, is_switch, line_of};

/// A setting that stands in the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Clap's name for it.
    pub(super) id: String,
    /// File and line.
    pub(super) place: String,
    /// One, or those of a list.
    pub(super) values: Vec<String>,
}

/// Likeness from which on another key is suggested, from 0 to 1.
const ALIKE: f64 = 0.8;

pub(super) fn read(path: &Path, settings: &[Arg]) -> Result<Vec<Entry>, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError::Unreadable { path: path.to_owned(), error })?;
    parse(path, &text, settings)
}

pub(super) fn parse(path: &Path, text: &str, settings: &[Arg]) -> Result<Vec<Entry>, SettingsError> {
    let table = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
        place: line_of(path, text, error.span().map_or(0, |span| span.start)),
        why: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let place = line_of(path, text, key.span().start);
        let name = key.get_ref().as_ref();
        let known = settings.iter().find(|arg| arg.get_long() == Some(name) && name != FILE_FLAG);
        let Some(setting) = known else {
            let hint = hint(name, settings);
            return Err(SettingsError::Unknown { place, key: name.to_owned(), hint });
        };
        let invalid = |why: String| SettingsError::Invalid { place: format!("{place}: {name}"), why };
        let values = values(setting, value.get_ref()).map_err(invalid)?;
        if !is_switch(setting) {
            check_value(setting, &values, &format!("{place}: {name}"))?;
        }
        entries.push(Entry { id: setting.get_id().to_string(), place, values });
    }
    entries.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(entries)
}

fn values(setting: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    if is_switch(setting) {
        return match value {
            DeValue::Boolean(on) => Ok(vec![on.to_string()]),
            _ => Err("it is true or false".to_owned()),
        };
    }
    let is_list =
        setting.get_value_delimiter().is_some() || matches!(setting.get_action(), ArgAction::Append);
    match value {
        DeValue::Array(items) if is_list => items.iter().map(|item| scalar(item.get_ref())).collect(),
        DeValue::Array(_) => Err("it has one value, not a list".to_owned()),
        one => Ok(vec![scalar(one)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        _ => Err("it is text or a number".to_owned()),
    }
}

fn hint(name: &str, settings: &[Arg]) -> String {
    let keys = settings.iter().filter_map(Arg::get_long).filter(|key| *key != FILE_FLAG);
    // `http_listen` is the usual slip; the measure below would find it, too, but not always first.
    let meant = name.replace('_', "-").to_lowercase();
    let nearest = keys
        .map(|key| (strsim::jaro_winkler(&meant, key), key))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((_, key)) => format!("; did you mean {key:?}?"),
        None => "; `config reference` lists all there are".to_owned(),
    }
}
