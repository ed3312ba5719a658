//! Resources as tables, JSON or YAML.
//!
//! JSON and YAML are what the API said, whole, so that `rempart apply` takes them back. A list is an array in JSON, and
//! one document each in YAML.

use clap::ValueEnum;
use rempart_api::{Kind, ResourceView, Status, Urn};
use serde::Serialize;
use serde_json::json;

use crate::columns::{headings, row};
use crate::failure::{Failure, Result};
use crate::quantity::now_ms;
use crate::screen::{Screen, harmless};
use crate::table::render;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For `rempart apply`
    Yaml,
}

/// Writes several resources of one kind.
pub(crate) fn list(screen: &Screen, format: Format, kind: Kind, views: &[ResourceView]) -> Result<()> {
    match format {
        Format::Table => screen.print(&table(screen, kind, views)),
        Format::Json => json(screen, views),
        Format::Yaml => {
            let documents = views.iter().map(yaml_text).collect::<Result<Vec<_>>>()?;
            if documents.is_empty() { Ok(()) } else { screen.print(&documents.join("---\n")) }
        }
    }
}

/// Writes one resource. A table is followed by what its newest condition says, if it says something.
pub(crate) fn one(screen: &Screen, format: Format, kind: Kind, view: &ResourceView) -> Result<()> {
    match format {
        Format::Table => {
            let mut text = table(screen, kind, std::slice::from_ref(view));
            if let Some(why) = why(view) {
                text.push_str(&format!("\n{}\n", harmless(&why)));
            }
            screen.print(&text)
        }
        Format::Json => json(screen, view),
        Format::Yaml => screen.print(&yaml_text(view)?),
    }
}

/// Writes anything else that is no table.
pub(crate) fn value<T: Serialize>(screen: &Screen, format: Format, value: &T) -> Result<()> {
    if format == Format::Yaml { screen.print(&yaml_text(value)?) } else { json(screen, value) }
}

/// What was asked to go, for programs: people have been told beside the result.
pub(crate) fn deleted(screen: &Screen, format: Format, urns: &[Urn], gone: bool) -> Result<()> {
    if format == Format::Table {
        return Ok(());
    }
    let all: Vec<_> = urns.iter().map(|urn| json!({ "ref": urn.to_string(), "gone": gone })).collect();
    value(screen, format, &all)
}

fn table(screen: &Screen, kind: Kind, views: &[ResourceView]) -> String {
    let now = now_ms();
    let rows: Vec<_> = views.iter().map(|view| row(kind, view, now)).collect();
    render(screen, &headings(kind), &rows)
}

fn json<T: Serialize + ?Sized>(screen: &Screen, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    screen.print(&text)
}

fn yaml_text<T: Serialize>(value: &T) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|error| Failure::failed(error.to_string()))
}

/// What the state of a resource is, with its history.
pub(crate) fn status(view: &ResourceView) -> Option<Status> {
    serde_json::from_value(view.status.clone()?).ok()
}

/// Why it is as it is, in the server's words.
pub(crate) fn why(view: &ResourceView) -> Option<String> {
    status(view)?.conditions.into_iter().next()?.message
}

#[cfg(test)]
mod tests;
