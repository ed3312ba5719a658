//! What headers say of any call: which answers the caller takes, what is sent, and which version the resource should have.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use rempart_api::ProblemType;

use super::problem::Failure;
use crate::service::Deleted;

/// Whether JSON is among what the caller takes: a list that leaves it out, or excludes it (`q=0`), is the only thing
/// that is refused. Of ranges that hold JSON the most specific counts (RFC 9110).
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.get(header::ACCEPT).is_none() {
        return Ok(());
    }
    match json_ranges(headers).map(|range| (range.specific, range.accepted)).max() {
        Some((_, true)) => Ok(()),
        _ => Err(Failure::NotAcceptable),
    }
}

/// A range of Accept that JSON is in.
struct Range {
    /// How much it says of it.
    specific: u8,
    /// It is not excluded (`q=0`).
    accepted: bool,
    /// Its parameters, in lower case.
    parameters: Vec<String>,
}

fn json_ranges(headers: &HeaderMap) -> impl Iterator<Item = Range> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| unquoted(value, ',')).filter_map(|range| {
        let mut parts = unquoted(range, ';').map(|part| part.trim().to_ascii_lowercase());
        let specific = match parts.next().as_deref() {
            Some("application/json") => 2,
            Some("application/*") => 1,
            Some("*/*" | "") => 0,
            _ => return None,
        };
        let parameters: Vec<String> = parts.collect();
        let accepted = !parameters.iter().any(|parameter| is_zero_quality(parameter));
        Some(Range { specific, accepted, parameters })
    })
}

/// Split at a character, but not between quotation marks.
fn unquoted(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character: char| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && character == at,
        }
        false
    })
}

/// Which resources a list is asked for: `application/json; deleted=true`, wherever it stands among what is accepted.
pub(super) fn deleted(headers: &HeaderMap) -> Result<Deleted, Failure> {
    let refuse = |why: &str| {
        Err(Failure::BadRequest(format!(
            "accept: deleted {why}; it must be true (deleted resources, too) or only (nothing else)"
        )))
    };
    let mut asked = None;
    for range in json_ranges(headers).filter(|range| range.accepted) {
        for parameter in &range.parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.trim() != "deleted" {
                continue;
            }
            let value = value.trim().trim_matches('"');
            let known = [Deleted::Exclude, Deleted::Include, Deleted::Only];
            let Some(said) = known.into_iter().find(|known| known.as_str() == value) else {
                return refuse("is something else");
            };
            if asked.is_some_and(|asked| asked != said) {
                return refuse("is said twice, and differently");
            }
            asked = Some(said);
        }
    }
    Ok(asked.unwrap_or(Deleted::Exclude))
}

/// Whether a body is sent as what it is read as: JSON, of which there is one sort, and not packed. A charset changes nothing,
/// as JSON has none (RFC 8259).
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Failure> {
    let only = |name: HeaderName| {
        let mut given = headers.get_all(name).iter();
        match (given.next(), given.next()) {
            (None, _) => Some(""),
            (Some(one), None) => one.to_str().ok(),
            _ => None,
        }
    };
    let media = only(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Failure::MediaType("application/json"));
    }
    let coding = only(header::CONTENT_ENCODING).map(str::trim);
    if !coding.is_some_and(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity")) {
        return Err(Failure::MediaType("application/json, and no content-encoding"));
    }
    Ok(())
}

/// Resources have no entity tags: of a write that is to depend on them nobody can say that its condition holds.
pub(super) fn check_no_entity_tags(headers: &HeaderMap) -> Result<(), Failure> {
    match [header::IF_MATCH, header::IF_NONE_MATCH].into_iter().find(|name| headers.contains_key(name)) {
        None => Ok(()),
        Some(name) => Err(Failure::Said(
            StatusCode::PRECONDITION_FAILED,
            ProblemType::PreconditionFailed,
            format!(
                "{name} compares entity tags, and resources have none here; say metadata.resourceVersion in \
                 if-unmodified-since instead"
            ),
        )),
    }
}

fn is_zero_quality(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let digits = value.trim().trim_end_matches('0');
    name.trim_end() == "q" && matches!(digits, "" | "." | "0.")
}

/// `if-unmodified-since`, which in SECA is an integer: the version that the resource should have.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let mut given = headers.get_all("if-unmodified-since").iter();
    let number = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(one), None) => one.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok()),
        _ => None,
    };
    // No resource has a version below 1: what is asked for there is met by none, as 0 is.
    number.map(|number| Some(u64::try_from(number).unwrap_or(0))).ok_or_else(|| {
        Failure::BadRequest(
            "if-unmodified-since must be one integer: the metadata.resourceVersion the resource should have"
                .to_owned(),
        )
    })
}

/// What a reader asks for: `linearizable`, as if the header were not there, or `stale`.
const CONSISTENCY: &str = "rempart-consistency";

/// Whether the caller takes an answer that may be old.
pub(super) fn may_be_stale(headers: &HeaderMap) -> Result<bool, Failure> {
    match headers.get(CONSISTENCY).map(|value| value.as_bytes()) {
        None | Some(b"linearizable") => Ok(false),
        Some(b"stale") => Ok(true),
        Some(_) => Err(Failure::BadRequest(format!("{CONSISTENCY} is \"linearizable\" or \"stale\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn json_is_refused_only_where_it_is_left_out_or_excluded() {
        let accepts = |values: &[&str]| check_accept(&headers("accept", values)).is_ok();
        for good in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/html, */*;q=0.1"],
            &["Application/JSON; deleted=only"],
            &["text/html", "application/*"],
            &["*/*;q=0, application/json"],
            &["application/json;q=0, application/json;q=0.5"],
            &["application/json; q=0.001"],
        ] {
            assert!(accepts(good), "{good:?}");
        }
        for bad in [
            &["text/html"][..],
            &["application/json;q=0"],
            &["application/json; q=0.000, */*"],
            &["application/*;q=0., */*"],
            &["application/jsonp"],
        ] {
            assert!(!accepts(bad), "{bad:?}");
        }
    }

    #[test]
    fn deleted_is_a_parameter_of_json_and_said_once() {
        let asked = |values: &[&str]| deleted(&headers("accept", values)).ok();
        for (values, expected) in [
            (&["*/*"][..], Deleted::Exclude),
            (&["application/json;deleted=false"], Deleted::Exclude),
            (&["application/json; deleted=true"], Deleted::Include),
            (&["*/*; deleted=only"], Deleted::Only),
            (&["text/html, application/json;q=0.9 ; Deleted=\"only\""], Deleted::Only),
            (&["text/html", "application/json; deleted=true"], Deleted::Include),
            (&["application/json; x=\",;\"; deleted=only"], Deleted::Only),
            (&["application/json; x=\"\\\", deleted=true\"; deleted=only"], Deleted::Only),
            (&["application/json, application/json; deleted=only; q=0.1"], Deleted::Only),
            // Not of what is asked for.
            (&["text/html; deleted=only, application/json"], Deleted::Exclude),
            (&["application/json; x=\"; deleted=only\""], Deleted::Exclude),
            (&["application/json; deleted=only; q=0, */*"], Deleted::Exclude),
        ] {
            assert_eq!(asked(values), Some(expected), "{values:?}");
        }
        for bad in ["deleted=maybe", "deleted=", "deleted", "deleted=true; deleted=only"] {
            assert_eq!(asked(&[&format!("application/json; {bad}")]), None, "{bad}");
        }
        assert_eq!(asked(&["application/json; deleted=true", "application/json; deleted=only"]), None);
    }

    #[test]
    fn a_body_is_json_and_nothing_else() {
        let sent = |given: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, value.parse().unwrap());
            }
            check_json(&headers).is_ok()
        };
        for kind in ["application/json", "Application/JSON ; charset=utf-8", "application/json;"] {
            assert!(sent(&[("content-type", kind)]), "{kind}");
        }
        for kind in ["", "text/json", "application/jsonp", "application/json, application/json"] {
            assert!(!sent(&[("content-type", kind)]), "{kind}");
        }
        let json = ("content-type", "application/json");
        assert!(!sent(&[]) && !sent(&[json, json]) && !sent(&[json, ("content-type", "text/plain")]));
        assert!(sent(&[json, ("content-encoding", "identity")]));
        assert!(!sent(&[json, ("content-encoding", "gzip")]));
    }

    #[test]
    fn a_version_is_one_integer() {
        let version = |values: &[&str]| version(&headers("if-unmodified-since", values)).ok();
        assert_eq!(version(&[]), Some(None));
        assert_eq!(version(&["7"]), Some(Some(7)));
        assert_eq!(version(&["-1"]), Some(Some(0)), "an integer, and the version of nothing");
        for bad in ["", "x", "1.5", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(version(&[bad]), None, "{bad}");
        }
        assert_eq!(version(&["7", "7"]), None);
    }
}
