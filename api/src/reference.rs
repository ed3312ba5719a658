//! References between resources: what a client sends, and what it means from where it stands.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Kind, Provider, Scope, Urn};

/// A reference as the client sent it, echoed unchanged. On input a plain string is accepted for `{"resource": string}`;
/// on output it is always the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// URN, path from tenant, workspace or network, or bare name.
    pub resource: String,
    /// Provider; inferred from the field when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Region; that of the referring resource when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Tenant; that of the referring resource when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Workspace; that of the referring resource when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

impl schemars::JsonSchema for Reference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = |description: &str| {
            let (min, max) = (1, Reference::MAX_RESOURCE);
            serde_json::json!({ "type": "string", "minLength": min, "maxLength": max, "description": description })
        };
        // An empty one is as good as none.
        let part = |description: &str| {
            let max = Reference::MAX_PART;
            serde_json::json!({ "type": "string", "maxLength": max, "description": description })
        };
        schemars::json_schema!({
            "description": "Another resource. On input a text, or an object; on output always the object, as it was sent.",
            "anyOf": [
                text("URN, path from tenant, workspace or network, or bare name."),
                {
                    "type": "object",
                    "required": ["resource"],
                    "properties": {
                        "resource": text("URN, path from tenant, workspace or network, or bare name."),
                        "provider": part("Inferred from the field when absent."),
                        "region": part("That of the referring resource when absent."),
                        "tenant": part("That of the referring resource when absent."),
                        "workspace": part("That of the referring resource when absent."),
                    }
                }
            ]
        })
    }
}

impl Reference {
    /// Most characters of `resource`.
    pub const MAX_RESOURCE: usize = 256;
    /// Most characters of each of the other members.
    pub const MAX_PART: usize = 64;
    /// What one is read from, in words.
    pub const EXPECTED: &str = "a string that names a resource, or an object with one in \"resource\"";
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Reference;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(Reference::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, resource: &str) -> Result<Reference, E> {
                Ok(Reference { resource: resource.to_owned(), ..Reference::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Reference, A::Error> {
                Object::deserialize(MapAccessDeserializer::new(members)).map(Object::into)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// The members of a reference, as they come.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    resource: String,
    provider: Option<String>,
    region: Option<String>,
    tenant: Option<String>,
    workspace: Option<String>,
}

impl From<Object> for Reference {
    fn from(object: Object) -> Reference {
        // Clients in languages without optional strings send "" for absent.
        let given = |field: Option<String>| field.filter(|text| !text.is_empty());
        Reference {
            resource: object.resource,
            provider: given(object.provider),
            region: given(object.region),
            tenant: given(object.tenant),
            workspace: given(object.workspace),
        }
    }
}

/// Why a reference has no meaning where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// `resource` is empty, too long or not of any accepted form.
    #[error("{0:?} is not a reference to a {1}: use its name, '{2}/NAME' or its full URN")]
    Form(String, Kind, &'static str),
    /// An explicit field and the prefix inside `resource` disagree.
    #[error("its {field} {explicit:?} contradicts {implied:?} inside 'resource'")]
    Contradiction {
        /// Which field.
        field: &'static str,
        /// What the field says.
        explicit: String,
        /// What `resource` says.
        implied: String,
    },
    /// Another region.
    #[error("region {0:?} cannot be reached from here: this endpoint serves {1:?}")]
    Region(String, String),
    /// Network-nested target named without its network, from outside one.
    #[error("{0:?} does not say in which network: use 'networks/NETWORK/{1}/NAME'")]
    NetworkMissing(String, &'static str),
}

impl Reference {
    /// A reference holding `urn` in full, as written to status fields.
    pub fn to_urn(urn: &Urn) -> Reference {
        Reference { resource: urn.to_string(), ..Reference::default() }
    }

    /// The resource of `kind` this names, seen from `from` in `region`. Existence is not looked at.
    pub fn resolve(&self, kind: Kind, from: &Urn, region: &str) -> Result<Urn, ReferenceError> {
        let info = kind.info();
        let form = || ReferenceError::Form(self.resource.chars().take(80).collect(), kind, info.collection);
        if self.resource.is_empty() || self.resource.chars().count() > Reference::MAX_RESOURCE {
            return Err(form());
        }
        if let Some(asked) = self.region.as_deref().filter(|asked| *asked != region) {
            return Err(ReferenceError::Region(asked.to_owned(), region.to_owned()));
        }
        let mut segments: Vec<&str> = self.resource.split('/').collect();
        let mut provider_said = None;
        if segments.len() > 2 && Provider::from_name(segments[0]).is_some() {
            if segments[1] != "v1" {
                return Err(form());
            }
            provider_said = Some(segments[0]);
            segments.drain(..2);
        }
        for said in [provider_said, self.provider.as_deref()].into_iter().flatten() {
            let name = said.strip_suffix("/v1").unwrap_or(said);
            if name != info.provider.name() {
                return Err(ReferenceError::Contradiction {
                    field: "provider",
                    explicit: said.to_owned(),
                    implied: info.provider.name().to_owned(),
                });
            }
        }
        let mut inside = Inside::default();
        if let [name] = segments[..] {
            inside.name = name;
        } else {
            inside.parse(&segments, info.collection).ok_or_else(form)?;
        }
        if crate::check_name(&inside.name.to_lowercase()).is_err() || inside.depth > info.scope as usize {
            return Err(form());
        }
        let agree =
            |field, explicit: Option<&str>, implied: Option<&str>, default: &str| match (explicit, implied) {
                (Some(explicit), Some(implied)) if explicit != implied => {
                    Err(ReferenceError::Contradiction {
                        field,
                        explicit: explicit.to_owned(),
                        implied: implied.to_owned(),
                    })
                }
                (explicit, implied) => Ok(explicit.or(implied).unwrap_or(default).to_owned()),
            };
        let mut urn = Urn::global(kind, inside.name);
        if info.scope >= Scope::Tenant {
            urn.tenant = agree("tenant", self.tenant.as_deref(), inside.tenant, &from.tenant)?;
        }
        if info.scope >= Scope::Workspace {
            urn.workspace = agree("workspace", self.workspace.as_deref(), inside.workspace, &from.workspace)?;
            if urn.workspace.is_empty() {
                return Err(form());
            }
        }
        if info.scope >= Scope::Network {
            let own = if from.kind == Kind::Network { &from.name } else { &from.network };
            urn.network = inside.network.unwrap_or(own).to_owned();
            if urn.network.is_empty() {
                return Err(ReferenceError::NetworkMissing(self.resource.clone(), info.collection));
            }
        }
        Ok(urn)
    }
}

/// What a path inside `resource` says.
#[derive(Default)]
struct Inside<'a> {
    tenant: Option<&'a str>,
    workspace: Option<&'a str>,
    network: Option<&'a str>,
    name: &'a str,
    /// How many levels of scope it goes down to.
    depth: usize,
}

impl<'a> Inside<'a> {
    fn parse(&mut self, segments: &[&'a str], collection: &str) -> Option<()> {
        if !segments.len().is_multiple_of(2) || segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let (parents, last) = segments.split_at(segments.len() - 2);
        for pair in parents.chunks(2) {
            let (place, at) = match pair[0] {
                "tenants" => (&mut self.tenant, 1),
                "workspaces" => (&mut self.workspace, 2),
                "networks" => (&mut self.network, 3),
                _ => return None,
            };
            if at <= self.depth {
                return None;
            }
            self.depth = at;
            *place = Some(pair[1]);
        }
        if last[0] != collection {
            return None;
        }
        self.name = last[1];
        Some(())
    }
}

#[cfg(test)]
mod tests;
