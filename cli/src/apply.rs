//! `rempart apply`: files of resources, as `get -o yaml` and `list -o json` write them, become the desired state.
//!
//! Everything is read and understood before anything is written; then the resources are written one by one, in their
//! order, and the first failure ends it. A resource that carries the version it was read at is written only if it
//! still has that version.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use rempart_api::{Kind, ResourceView, Urn};
use serde_json::{Map, Value};

use crate::args::Patience;
use crate::failure::{Failure, Result};
use crate::kinds;
use crate::output::{self, Format};
use crate::screen::harmless;
use crate::session::{Session, full_name};
use crate::wait::{self, Goal};

/// `apply`
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// YAML or JSON with one or several resources; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Wait until each is active
    #[arg(long)]
    wait: bool,
    /// With --wait: seconds to wait at most
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
}

/// The most that is read of a file.
const MAX_BYTES: u64 = 64 << 20;

/// A resource as a file says it should be.
#[derive(Debug, PartialEq)]
struct Wanted {
    urn: Urn,
    body: Value,
    version: Option<u64>,
}

pub(crate) async fn run(session: &Session<'_>, format: Format, apply: &Apply) -> Result<()> {
    let mut wanted = Vec::new();
    for file in &apply.files {
        let name = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
        let text = read(file)?;
        for (position, document) in documents(&name, &text)?.into_iter().enumerate() {
            let at = format!("{name}, resource {}", position + 1);
            wanted.push(understand(session, &at, &document)?);
        }
    }
    if wanted.is_empty() {
        return Err(Failure::usage("there is no resource in what was given"));
    }
    let mut views = Vec::new();
    for (done, one) in wanted.iter().enumerate() {
        match write(session, one, format).await {
            Ok(view) => views.push(view),
            Err(failure) if done > 0 => {
                return Err(failure.next(format!(
                    "The {done} before it in the files are written; apply again to go on, it does no harm"
                )));
            }
            Err(failure) => return Err(failure),
        }
    }
    if apply.wait {
        session.screen.if_interrupted("All is written, and goes on without you.");
        let patience = Patience { no_wait: false, timeout: apply.timeout };
        for (one, view) in wanted.iter().zip(&mut views) {
            if let Some(now) = wait::until(session, &one.urn, Goal::Active, patience).await? {
                *view = now;
            }
        }
    }
    match format {
        Format::Table => Ok(()),
        Format::Json | Format::Yaml => output::list(session.screen, format, wanted[0].urn.kind, &views),
    }
}

async fn write(session: &Session<'_>, wanted: &Wanted, format: Format) -> Result<ResourceView> {
    let (created, view) = session.put(&wanted.urn, &wanted.body, wanted.version).await?;
    let how = if created { "created" } else { "replaced" };
    let state =
        output::status(&view).map(|status| format!(", {}", wait::word(status.state))).unwrap_or_default();
    let line = format!("{} {how}{state}", full_name(&wanted.urn));
    // It is the result where a person reads, and beside the result where a program does.
    if format == Format::Table {
        session.screen.print(&line)?
    } else {
        session.screen.note(&line)
    }
    Ok(view)
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("{} is larger than 64 MiB", path.display())));
    }
    Ok(text)
}

/// The resources in a text. JSON is YAML, but its own parser says better what is wrong with it.
fn documents(name: &str, text: &str) -> Result<Vec<Value>> {
    let fail = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        // The place and the cause; not the lines around it, which may be anybody's secret.
        let first = error.lines().find(|line| !line.trim().is_empty()).unwrap_or("it cannot be read");
        Failure::usage(format!("cannot understand {name}: {}", harmless(first)))
    };
    let parsed: Vec<Value> = if text.trim_start().starts_with(['{', '[']) {
        let stream = serde_json::Deserializer::from_str(text).into_iter();
        stream.collect::<std::result::Result<_, serde_json::Error>>().map_err(|error| fail(&error))?
    } else {
        // "n", "off", "1_000" and "007" are words, and a network may be called so.
        let options = serde_saphyr::options! {
            strict_booleans: true,
            underscored_numbers_as_strings: true,
            leading_zero_numbers_as_strings: true,
        };
        serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| fail(&error.without_snippet()))?
    };
    let mut documents = Vec::new();
    for one in parsed {
        match one {
            Value::Null => {}
            Value::Array(items) => documents.extend(items),
            // A page of a list, as the API itself writes it.
            Value::Object(mut page) if page.contains_key("items") && !page.contains_key("spec") => {
                if let Some(Value::Array(items)) = page.remove("items") {
                    documents.extend(items);
                }
            }
            one => documents.push(one),
        }
    }
    Ok(documents)
}

/// Which resource a document is about, and what is to be sent for it.
fn understand(session: &Session<'_>, at: &str, document: &Value) -> Result<Wanted> {
    let Value::Object(document) = document else {
        return Err(Failure::usage(format!("{at}: it is no object with metadata and spec")));
    };
    let metadata = document.get("metadata").and_then(Value::as_object).ok_or_else(|| {
        Failure::usage(format!("{at}: it has no metadata"))
            .next("It needs metadata.kind and metadata.name at least; rempart get KIND NAME -o yaml shows how it looks")
    })?;
    let said = |name: &str| metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let urn = match said("ref") {
        Some(reference) => {
            let urn: Urn = reference.parse().map_err(|_| {
                Failure::usage(format!("{at}: metadata.ref {:?} is no URN", harmless(reference)))
            })?;
            // Checked as if it had been typed.
            session
                .urn(urn.kind, reference)
                .map_err(|failure| Failure::usage(format!("{at}: {}", failure.text)))?
        }
        None => by_name(session, at, document, &said)?,
    };
    for (field, is) in [("name", &urn.name), ("tenant", &urn.tenant), ("workspace", &urn.workspace)] {
        if let Some(text) = said(field).filter(|text| !is.is_empty() && text != is) {
            return Err(Failure::usage(format!(
                "{at}: metadata.{field} {:?} contradicts metadata.ref, which says {is:?}",
                harmless(text)
            ))
            .next("To make a copy under another name, remove metadata.ref"));
        }
    }
    let version = match metadata.get("resourceVersion") {
        None | Some(Value::Null) => None,
        Some(version) => Some(
            version
                .as_u64()
                .ok_or_else(|| Failure::usage(format!("{at}: metadata.resourceVersion is no number")))?,
        ),
    };
    let mut body = Map::new();
    for part in ["labels", "annotations", "extensions", "spec"] {
        if let Some(value) = document.get(part) {
            body.insert(part.to_owned(), value.clone());
        }
    }
    Ok(Wanted { urn, body: Value::Object(body), version })
}

fn by_name<'a>(
    session: &Session<'_>,
    at: &str,
    document: &Map<String, Value>,
    said: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<Urn> {
    let kind = said("kind").or_else(|| document.get("kind").and_then(Value::as_str)).ok_or_else(|| {
        Failure::usage(format!("{at}: it does not say of which kind it is")).next("Add metadata.kind")
    })?;
    let kind: Kind = kinds::parse(kind).ok_or_else(|| {
        Failure::usage(format!("{at}: there is no kind {:?}", harmless(kind)))
            .next("Kinds: rempart list --help")
    })?;
    let name = said("name")
        .ok_or_else(|| Failure::usage(format!("{at}: it has no name")).next("Add metadata.name"))?;
    // A path with what the document says; the rest is the session's.
    let mut path = String::new();
    let scope = kind.info().scope as usize;
    for (depth, (field, collection)) in
        [("tenant", "tenants"), ("workspace", "workspaces"), ("network", "networks")].into_iter().enumerate()
    {
        if let Some(text) = said(field).filter(|_| scope > depth) {
            path.push_str(&format!("{collection}/{text}/"));
        }
    }
    let name =
        if path.is_empty() { name.to_owned() } else { format!("{path}{}/{name}", kind.info().collection) };
    session.urn(kind, &name).map_err(|failure| Failure::new(failure.exit, format!("{at}: {}", failure.text)))
}

#[cfg(test)]
mod tests;
