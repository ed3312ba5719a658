//! Calls over HTTP, and whether the answers are those that were expected.

use std::collections::BTreeMap;

use rempart_api::{Problem, ResourceList};
use rempart_tests::Cluster;
use serde_json::{Value, json};

use crate::model::{Expected, No};
use crate::people::Token;
use crate::plan::{Call, Deed};

/// A server, and everybody's tokens.
pub(crate) struct Wire {
    http: reqwest::Client,
    pub(crate) url: String,
    tokens: BTreeMap<&'static str, Token>,
    /// Statuses are those of the specification.
    pub(crate) by_spec: bool,
}

/// An answer.
struct Got {
    status: u16,
    located: bool,
    body: Value,
}

impl Wire {
    pub(crate) fn new(cluster: &Cluster, tokens: &[(&'static str, Token)], by_spec: bool) -> Wire {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Wire { http, url: cluster.layout.url(1), tokens: tokens.iter().cloned().collect(), by_spec }
    }

    fn path(call: &Call) -> String {
        let item = format!("/providers/{}/v1/{}", call.urn.kind.info().provider.name(), call.urn.path());
        match &call.deed {
            Deed::List { .. } => {
                item.rsplit_once('/').map(|(collection, _)| collection.to_owned()).expect("a path")
            }
            Deed::Act(action) => format!("{item}/{action}"),
            Deed::Odd { beneath, .. } => format!("{item}{beneath}"),
            _ => item,
        }
    }

    async fn send(&self, call: &Call, query: &[(&str, &str)]) -> Result<Got, String> {
        let path = Wire::path(call);
        let method = match &call.deed {
            Deed::Get | Deed::List { .. } => "GET",
            Deed::Put(_) => "PUT",
            Deed::Delete => "DELETE",
            Deed::Act(_) => "POST",
            Deed::Odd { method, .. } => method,
        };
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.bearer_auth(&self.tokens[call.who].text).query(query);
        if let Some(version) = call.version {
            request = request.header("if-unmodified-since", version);
        }
        if let Deed::Put(text) = &call.deed {
            request = request.header("content-type", "application/json").body(text.clone());
        }
        let answer = request.send().await.map_err(|error| format!("no answer: {error}"))?;
        let status = answer.status().as_u16();
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (kind, id) = (header("content-type").unwrap_or_default(), header("x-request-id"));
        let located = header("location").is_some();
        let bytes = answer.bytes().await.map_err(|error| format!("half an answer: {error}"))?;
        if id.is_none() {
            return Err("an answer without an x-request-id".to_owned());
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status < 300 {
            return Ok(Got { status, located, body });
        }
        let problem: Problem = serde_json::from_value(body.clone())
            .map_err(|error| format!("{status} with what is no problem ({error}): {body}"))?;
        if kind != "application/problem+json"
            || problem.status != status
            || problem.title != problem.class.title()
        {
            return Err(format!("{status} as {kind}, which says {problem:?}"));
        }
        let instance: String = path.chars().take(256).collect();
        if problem.instance != instance {
            return Err(format!("a problem of {}, not of {path}", problem.instance));
        }
        Ok(Got { status, located, body })
    }

    /// Calls, and tells how the answer differs from what was expected.
    pub(crate) async fn differs(&self, call: &Call, expected: &Expected) -> Result<(), String> {
        if let (Deed::List { limit, labels }, Expected::Pages(pages)) = (&call.deed, expected) {
            return self.walk(call, *limit, labels, pages).await;
        }
        let query = match &call.deed {
            Deed::List { labels, .. } => vec![("labels", *labels)],
            _ => Vec::new(),
        };
        let got = self.send(call, &query).await?;
        match expected {
            Expected::Shown { created, view } => {
                let status = if *created { 201 } else { 200 };
                same("status", &json!(got.status), &json!(status), &got.body)?;
                same("whether there is a location", &json!(got.located), &json!(*created), &got.body)?;
                same("the view", &plain(&got.body), &plain(view), &Value::Null)
            }
            Expected::Accepted => same("status", &json!(got.status), &json!(202), &got.body),
            Expected::Refused(no) => self.refused(&got, no),
            Expected::Pages(_) => unreachable!("a list's alone"),
        }
    }

    fn refused(&self, got: &Got, no: &No) -> Result<(), String> {
        let status = if no.soft && !self.by_spec { 412 } else { no.status };
        same("status", &json!(got.status), &json!(status), &got.body)?;
        same("type", &got.body["type"], &json!(no.class), &got.body)?;
        if let Some(detail) = &no.detail {
            same("detail", &plain(&got.body["detail"]), &plain(&json!(detail)), &Value::Null)?;
        }
        if let Some(pointers) = &no.pointers {
            let sources = got.body["sources"].as_array().cloned().unwrap_or_default();
            let got: Vec<&Value> = sources.iter().map(|source| &source["pointer"]).collect();
            same("fields at fault", &json!(got), &json!(pointers), &Value::Null)?;
        }
        Ok(())
    }

    async fn walk(
        &self,
        call: &Call,
        limit: usize,
        labels: &str,
        pages: &[Vec<Value>],
    ) -> Result<(), String> {
        let limit = limit.to_string();
        let mut token: Option<String> = None;
        for (number, page) in (1..).zip(pages) {
            let mut query = vec![("limit", limit.as_str()), ("labels", labels)];
            query.extend(token.as_deref().map(|token| ("skipToken", token)));
            let got = self.send(call, &query).await?;
            same("status", &json!(got.status), &json!(200), &got.body)?;
            let list: ResourceList =
                serde_json::from_value(got.body.clone()).map_err(|error| format!("no list: {error}"))?;
            let what = format!("page {number} of {}", pages.len());
            same(&what, &plain(&got.body["items"]), &plain(&json!(page)), &Value::Null)?;
            token = list.metadata.skip_token;
            same(
                "whether there are more",
                &json!(token.is_some()),
                &json!(number < pages.len()),
                &Value::Null,
            )?;
        }
        Ok(())
    }
}

fn same(what: &str, got: &Value, expected: &Value, around: &Value) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}:\n  got      {got}\n  expected {expected}\n  {around}"))
}

/// Without what two servers that did the same say differently: moments, and what is drawn by lot.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(without_lots(text)),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                let moment = value.is_string() && (key.ends_with("At") || key.ends_with("Since"));
                let plain = match key.as_str() {
                    _ if moment => json!("a moment"),
                    "macAddress" => json!("a MAC address"),
                    _ => plain(value),
                };
                (key.clone(), plain)
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// The assignment that comes with a workspace is called after its incarnation.
fn without_lots(text: &str) -> String {
    const MARK: &str = "-creator-";
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once(MARK) {
        plain.push_str(before);
        plain.push_str(MARK);
        rest = after.trim_start_matches(|one: char| one.is_ascii_hexdigit());
    }
    plain + rest
}
