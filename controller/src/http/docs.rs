//! The OpenAPI document for people: one page without scripts, which loads nothing from elsewhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::openapi;

static PAGE: LazyLock<String> = LazyLock::new(|| render(&openapi::document()));

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#8881;padding:1rem;overflow:auto}\
    details{margin:.2rem 0 .2rem 1rem}summary{cursor:pointer}h2{margin-top:2rem;border-bottom:1px solid #8886}\
    b{display:inline-block;min-width:4.5rem}:root{color-scheme:light dark}";

/// `/docs`
pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE.as_str()).into_response()
}

fn render(document: &Value) -> String {
    let mut page = String::new();
    let title = escaped(document["info"]["title"].as_str().unwrap_or_default());
    let about = escaped(document["info"]["description"].as_str().unwrap_or_default());
    let _ = write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title} API</title><style>{STYLE}</style><h1>{title} API</h1><p>{about}</p>\
         <p>For programs: <a href=/openapi.json>openapi.json</a> (OpenAPI 3.1).</p>"
    );
    let operations = operations(document);
    let mut tags: Vec<&str> = operations.iter().map(|(tag, ..)| *tag).collect();
    tags.dedup();
    for tag in tags {
        let _ = write!(page, "<h2>{}</h2>", escaped(tag));
        for (_, method, path, operation) in operations.iter().filter(|(of, ..)| *of == tag) {
            let summary = escaped(operation["summary"].as_str().unwrap_or_default());
            let _ = write!(
                page,
                "<details><summary><b>{}</b> <code>{}</code> {summary}</summary><pre>{}</pre></details>",
                method.to_uppercase(),
                escaped(path),
                pretty(operation)
            );
        }
    }
    let _ = write!(page, "<h2>Types</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code></summary><pre>{}</pre></details>",
            pretty(schema)
        );
    }
    page
}

/// Tag, method, path and the operation, by tag.
fn operations(document: &Value) -> Vec<(&str, &str, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if operation.is_object() {
                all.push((
                    operation["tags"][0].as_str().unwrap_or("others"),
                    method.as_str(),
                    path.as_str(),
                    operation,
                ));
            }
        }
    }
    all.sort_by_key(|(tag, method, path, _)| (*tag, *path, *method));
    all
}

fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[test]
fn the_page_has_every_operation_and_loads_nothing() {
    let document = openapi::document();
    let page = render(&document);
    for (_, method, path, _) in operations(&document) {
        assert!(
            page.contains(&format!("<b>{}</b> <code>{}</code>", method.to_uppercase(), escaped(path))),
            "{path}"
        );
    }
    for from in ["src=", "href=http", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(from), "{from}");
    }
}
