//! The parameters of a list: `labels`, `limit` and `skipToken` of the query, `deleted` of the Accept header.
//!
//! Parameters that are not known are passed over, as newer clients may send them; one that is given twice is refused, as it
//! is anybody's guess which one counts.

use std::borrow::Cow;

use axum::http::HeaderMap;

use super::headers;
use super::problem::Failure;
use crate::service::{Page, Selector};

/// Largest page.
const MAX_LIMIT: usize = 10_000;

/// Which page a list is asked for.
pub(super) fn page(query: &str, headers: &HeaderMap) -> Result<Page, Failure> {
    let mut page = Page { deleted: headers::deleted(headers)?, ..Page::default() };
    let mut known = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // However it is spelt; what cannot be read is no parameter of ours.
        let Some(name) = decode(name, true)
            .and_then(|name| ["labels", "limit", "skipToken"].into_iter().find(|known| *known == name))
        else {
            continue;
        };
        let refuse = |why: String| Failure::Parameter(name.to_owned(), why);
        if known.contains(&name) {
            return Err(refuse("is given twice".to_owned()));
        }
        known.push(name);
        let value = decode(value, true).ok_or_else(|| refuse("is not percent-encoded UTF-8".to_owned()))?;
        match name {
            "limit" => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let limit = value.parse().ok().filter(|limit| digits && (1..=MAX_LIMIT).contains(limit));
                page.limit =
                    limit.ok_or_else(|| refuse(format!("must be an integer from 1 to {MAX_LIMIT}")))?;
            }
            "skipToken" if !value.is_empty() => page.skip_token = Some(value.into_owned()),
            "labels" if !value.is_empty() => {
                page.selector = Some(Selector::parse(&value).map_err(|error| refuse(error.to_string()))?);
            }
            _ => {}
        }
    }
    Ok(page)
}

/// Percent-decoding; in a query, `+` is a space. None for what is not UTF-8, or not percent-encoding.
pub(super) fn decode(text: &str, is_query: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if is_query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn ask(query: &str, accept: &str) -> Result<Page, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        page(query, &headers).map_err(|failure| match failure {
            Failure::Parameter(name, why) => format!("{name}: {why}"),
            Failure::BadRequest(why) => why,
            _ => "another failure".to_owned(),
        })
    }

    #[test]
    fn parameters_are_read_and_their_bounds_kept() {
        let json = "application/json";
        assert_eq!(ask("", json), Ok(Page::default()));
        assert_eq!(ask("limit=1&other=%zz&&labels=&skipToken=", json).unwrap().limit, 1);
        assert_eq!(ask("limit=%31000", json).unwrap().limit, 1000);
        assert_eq!(ask("l%69mit=7&%zz=5&%ff=1", json).unwrap().limit, 7);
        assert_eq!(ask("skipToken=a%2Bb", json).unwrap().skip_token.as_deref(), Some("a+b"));
        let selector = ask("labels=tier%3Dweb%2C+n%3E5", json).unwrap().selector.unwrap();
        assert_eq!(selector.text(), "tier=web, n>5");
        for (query, words) in [
            ("limit=0", "limit: must be"),
            ("limit=10001", "limit: must be"),
            ("limit=-1", "limit: must be"),
            ("limit=%2B5", "limit: must be"),
            ("limit=", "limit: must be"),
            ("limit=1e3", "limit: must be"),
            ("limit=99999999999999999999999", "limit: must be"),
            ("limit=5&limit=6", "limit: is given twice"),
            ("limit=5&%6Cimit=6", "limit: is given twice"),
            ("labels=%zz", "labels: is not percent"),
            ("labels=%ff", "labels: is not percent"),
            ("labels=a%3D1%2C%2Cb", "labels: at character 5:"),
        ] {
            let refused = ask(query, json).expect_err(query);
            assert!(refused.contains(words), "{query}: {refused}");
        }
    }
}
