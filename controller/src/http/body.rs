//! Bodies: what a PUT brings.

use rempart_api::storage::BlobSpec;
use rempart_api::{Kind, ProblemSource, StringMap, Urn, json};
use rempart_model::{Spec, SpecError, Wrong, canonical_tenant, read_shape};
use serde_json::Value;

use super::problem::Failure;
use crate::service::Body;

/// Most labels of a resource.
pub(super) const MAX_LABELS: usize = 128;

/// A PUT's body. Metadata and status are accepted and ignored, except what contradicts the path.
pub(super) fn parse_put(urn: &Urn, region: &str, bytes: &[u8]) -> Result<Body, Failure> {
    let json =
        json::read(bytes).map_err(|error| Failure::BadRequest(format!("the body is not JSON: {error}")))?;
    let Value::Object(json) = json else {
        return Err(Failure::BadRequest("the body must be a JSON object".to_owned()));
    };
    let metadata = json.get("metadata").map_or(Ok(()), |metadata| check_metadata(urn, region, metadata));
    let (labels, annotations) = (labels(&json), map(&json, "annotations"));
    match (metadata, parse_spec(urn, &json), labels, annotations, map(&json, "extensions")) {
        (Ok(()), Ok(spec), Ok(labels), Ok(annotations), Ok(extensions)) => {
            Ok(Body { labels, annotations, extensions, spec })
        }
        (metadata, spec, labels, annotations, extensions) => {
            let failures = [metadata.err(), spec.err(), labels.err(), annotations.err(), extensions.err()];
            // What cannot be read comes before what is not allowed.
            let first = failures
                .into_iter()
                .flatten()
                .min_by_key(|failure| !matches!(failure, Failure::Malformed(..)));
            Err(first.unwrap_or_else(|| unreachable!("one of them failed")))
        }
    }
}

fn parse_spec(urn: &Urn, json: &serde_json::Map<String, Value>) -> Result<Spec, Failure> {
    let spec = match json.get("spec") {
        None | Some(Value::Null) if matches!(urn.kind, Kind::Workspace | Kind::InternetGateway) => {
            Value::Object(serde_json::Map::new())
        }
        None | Some(Value::Null) => return Err(invalid("/spec", "is required")),
        Some(spec) => spec.clone(),
    };
    let spec = match spec {
        // Which providers there are is the installation's to say: it is passed over, as a status is.
        Value::Object(mut spec) if urn.kind == Kind::Region => {
            spec.insert("providers".to_owned(), Value::Array(Vec::new()));
            Value::Object(spec)
        }
        spec => spec,
    };
    Spec::parse(urn.kind, &spec).map_err(malformed)
}

/// Stands for a content that could not be read, where only the right to give one is asked about.
pub(super) fn no_content() -> BlobSpec {
    let format = rempart_api::storage::BlobFormat::Raw;
    BlobSpec { sha256: String::new(), format, size_bytes: 0, virtual_size_bytes: 0 }
}

/// The content of a volume.
pub(super) fn parse_content(bytes: &[u8]) -> Result<BlobSpec, Failure> {
    let json = json::read(bytes).map_err(|error| {
        Failure::BadRequest(format!(
            "the body must be {{\"sha256\", \"format\": \"raw\"|\"qcow2\", \"sizeBytes\", \"virtualSizeBytes\"}}: {error}"
        ))
    })?;
    read_shape("", &json).map_err(malformed)
}

/// A selector looks at all of them. A bound of this edge, not of the model: what the log holds was within that of its time.
fn labels(json: &serde_json::Map<String, Value>) -> Result<StringMap, Failure> {
    let labels = map(json, "labels")?;
    if labels.len() > MAX_LABELS {
        return Err(invalid("/labels", &format!("has {} labels, at most {MAX_LABELS}", labels.len())));
    }
    Ok(labels)
}

fn map(json: &serde_json::Map<String, Value>, name: &str) -> Result<StringMap, Failure> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(StringMap::new()),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| another_type(&format!("/{name}"), "must be an object of strings")),
    }
}

fn check_metadata(urn: &Urn, region: &str, metadata: &Value) -> Result<(), Failure> {
    if !matches!(metadata, Value::Object(_) | Value::Null) {
        return Err(another_type("/metadata", "must be an object"));
    }
    for (field, expected) in [
        ("name", urn.name.as_str()),
        ("tenant", &urn.tenant),
        ("workspace", &urn.workspace),
        ("network", &urn.network),
        ("region", region),
    ] {
        match metadata.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(said)) if said.is_empty() || said == expected => {}
            Some(Value::String(said)) if field == "tenant" && canonical_tenant(said) == expected => {}
            // Carried along from another kind of resource, where the path has no such segment.
            Some(_) if expected.is_empty() => {}
            Some(Value::String(said)) => {
                let said: String = said.chars().take(80).collect();
                let why =
                    format!("says {said:?}, but this path is {expected:?}; make them agree or leave it out");
                return Err(invalid(&format!("/metadata/{field}"), &why));
            }
            Some(_) => return Err(another_type(&format!("/metadata/{field}"), "must be a string")),
        }
    }
    Ok(())
}

fn another_type(pointer: &str, why: &str) -> Failure {
    malformed(SpecError { pointer: pointer.to_owned(), why: why.to_owned(), wrong: Wrong::Type })
}

fn invalid(pointer: &str, why: &str) -> Failure {
    Failure::Invalid(vec![source(pointer)], format!("{pointer}: {why}"))
}

fn malformed(SpecError { pointer, why, wrong }: SpecError) -> Failure {
    match wrong {
        Wrong::Type => Failure::Malformed(vec![source(&pointer)], format!("{pointer}: {why}")),
        Wrong::Value => invalid(&pointer, &why),
    }
}

/// The field at fault, by its pointer and by its name.
fn source(pointer: &str) -> ProblemSource {
    let names = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err());
    ProblemSource { pointer: pointer.to_owned(), parameter: names.unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests;
