//! What headers say of any call: which answers the caller takes, and which version the resource should have.

use axum::http::{HeaderMap, header};

use super::problem::Failure;

/// Whether JSON is among what the caller takes: a list that leaves it out, or excludes it (`q=0`), is the only thing
/// that is refused. Of ranges that hold JSON the most specific counts (RFC 9110).
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), Failure> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let ranges = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let holding = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let specific = match parts.next().as_deref() {
            Some("application/json") => 2,
            Some("application/*") => 1,
            Some("*/*" | "") => 0,
            _ => return None,
        };
        Some((specific, !parts.any(|parameter| is_zero_quality(&parameter))))
    });
    match holding.max() {
        Some((_, true)) => Ok(()),
        _ => Err(Failure::NotAcceptable),
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
