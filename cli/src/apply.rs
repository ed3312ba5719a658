//! `rempart apply`: files of resources, as `get -o yaml` and `list -o json` write them, become the desired state.
//!
//! Everything is read and understood before anything is written; then the resources are written one by one, in their
//! order, and the first failure ends it. A resource that carries the version it was read at is written only if it
//! still has that version.

use std::path::PathBuf;

use rempart_api::{Kind, ResourceView, Urn};
use serde_json::{Map, Value};

use crate::args::Patience;
use crate::argument;
use crate::failure::{Failure, Result};
use crate::input;
use crate::kinds;
use crate::output::{self, Format};
use crate::screen::harmless;
use crate::session::{Session, full_name};
use crate::wait::{self, Goal};

/// `apply`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: rempart get vm web-1 -o yaml > web-1.yaml; edit it; rempart apply -f web-1.yaml --wait
          echo 'metadata: {kind: workspace, name: demo}' | rempart apply -f -")]
pub(crate) struct Apply {
    /// YAML or JSON with one or several resources; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Wait until each is active
    #[arg(long)]
    wait: bool,
    /// With --wait: seconds to wait at most
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = argument::seconds)]
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

/// A resource of a file, and where it stands there.
pub(crate) struct Document {
    at: String,
    content: Value,
}

/// Reads all files, and finds what is wrong with them as they stand.
pub(crate) async fn read(apply: &Apply) -> Result<Vec<Document>> {
    let mut all = Vec::new();
    for file in &apply.files {
        let name = input::called(file);
        let text = input::text(file, MAX_BYTES).await?;
        for (position, content) in documents(&name, &text)?.into_iter().enumerate() {
            let at = format!("{name}, resource {}", position + 1);
            judge(&at, &content)?;
            all.push(Document { at, content });
        }
    }
    if all.is_empty() {
        return Err(Failure::usage("there is no resource in what was given")
            .next("How one looks: rempart get KIND NAME -o yaml"));
    }
    Ok(all)
}

pub(crate) async fn run(
    session: &Session<'_>,
    format: Format,
    apply: &Apply,
    documents: &[Document],
) -> Result<()> {
    let wanted = documents
        .iter()
        .map(|document| understand(session, &document.at, &document.content))
        .collect::<Result<Vec<_>>>()?;
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

/// What a document says of itself.
struct Judged<'a> {
    metadata: &'a Map<String, Value>,
    who: Who<'a>,
    version: Option<u64>,
}

/// How it says which resource it is about.
enum Who<'a> {
    Reference(&'a str, Urn),
    Name(Kind, &'a str),
}

/// A text of the metadata, unless it is empty.
fn said<'a>(metadata: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    metadata.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What can be told of a document without knowing server, tenant or workspace.
fn judge<'a>(at: &str, document: &'a Value) -> Result<Judged<'a>> {
    let Value::Object(document) = document else {
        return Err(Failure::usage(format!("{at}: it is no object with metadata and spec")));
    };
    let metadata = document.get("metadata").and_then(Value::as_object).ok_or_else(|| {
        Failure::usage(format!("{at}: it has no metadata"))
            .next("It needs metadata.kind and metadata.name at least; rempart get KIND NAME -o yaml shows how it looks")
    })?;
    let who = match said(metadata, "ref") {
        Some(reference) => {
            let urn: Urn = reference.parse().map_err(|_| {
                Failure::usage(format!("{at}: metadata.ref {:?} is no URN", harmless(reference))).next(
                    "Write it as rempart get KIND NAME -o yaml does, or give metadata.kind and metadata.name",
                )
            })?;
            Who::Reference(reference, urn)
        }
        None => {
            let kind = said(metadata, "kind").or_else(|| document.get("kind").and_then(Value::as_str));
            let kind = kind.ok_or_else(|| {
                Failure::usage(format!("{at}: it does not say of which kind it is")).next("Add metadata.kind")
            })?;
            let kind = kinds::parse(kind).ok_or_else(|| {
                Failure::usage(format!("{at}: there is no kind {:?}", harmless(kind)))
                    .next("Kinds: rempart list --help")
            })?;
            let name = said(metadata, "name")
                .ok_or_else(|| Failure::usage(format!("{at}: it has no name")).next("Add metadata.name"))?;
            argument::target(name)
                .map_err(|why| Failure::usage(format!("{at}: metadata.name {:?}: {why}", harmless(name))))?;
            Who::Name(kind, name)
        }
    };
    let version = match metadata.get("resourceVersion") {
        None | Some(Value::Null) => None,
        Some(version) => Some(version.as_u64().ok_or_else(|| {
            Failure::usage(format!("{at}: metadata.resourceVersion is no number"))
                .next("Take it as it was read, or remove it to overwrite whatever there is")
        })?),
    };
    Ok(Judged { metadata, who, version })
}

/// Which resource a document is about, and what is to be sent for it.
fn understand(session: &Session<'_>, at: &str, document: &Value) -> Result<Wanted> {
    let Judged { metadata, who, version } = judge(at, document)?;
    let urn = match who {
        // Checked as if it had been typed.
        Who::Reference(reference, urn) => session
            .urn(urn.kind, reference)
            .map_err(|failure| Failure::usage(format!("{at}: {}", failure.text)))?,
        Who::Name(kind, name) => by_name(session, at, metadata, kind, name)?,
    };
    for (field, is) in [("name", &urn.name), ("tenant", &urn.tenant), ("workspace", &urn.workspace)] {
        if let Some(text) = said(metadata, field).filter(|text| !is.is_empty() && text != is) {
            return Err(Failure::usage(format!(
                "{at}: metadata.{field} {:?} contradicts metadata.ref, which says {is:?}",
                harmless(text)
            ))
            .next("To make a copy under another name, remove metadata.ref"));
        }
    }
    let mut body = Map::new();
    for part in ["labels", "annotations", "extensions", "spec"] {
        if let Some(value) = document.get(part) {
            body.insert(part.to_owned(), value.clone());
        }
    }
    Ok(Wanted { urn, body: Value::Object(body), version })
}

fn by_name(
    session: &Session<'_>,
    at: &str,
    metadata: &Map<String, Value>,
    kind: Kind,
    name: &str,
) -> Result<Urn> {
    // A path with what the document says; the rest is the session's.
    let mut path = String::new();
    let scope = kind.info().scope as usize;
    for (depth, (field, collection)) in
        [("tenant", "tenants"), ("workspace", "workspaces"), ("network", "networks")].into_iter().enumerate()
    {
        if let Some(text) = said(metadata, field).filter(|_| scope > depth) {
            path.push_str(&format!("{collection}/{text}/"));
        }
    }
    let name =
        if path.is_empty() { name.to_owned() } else { format!("{path}{}/{name}", kind.info().collection) };
    session.urn(kind, &name).map_err(|failure| Failure::new(failure.exit, format!("{at}: {}", failure.text)))
}

#[cfg(test)]
mod tests;
