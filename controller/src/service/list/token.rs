//! The token of a page: where the next one starts, marked by the cluster.
//!
//! ```text
//!   base64url( name ‖ HMAC-SHA256(marks, version ‖ collection ‖ deleted ‖ selector ‖ name) )
//! ```
//!
//! What always holds: a token works at every controller, for the list it came from alone (collection, selector and
//! `deleted`), and only as it was given. It holds no offset: what is created or deleted meanwhile shifts nothing. It gives
//! no right to anything: each page is authorised anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rempart_api::Urn;

use super::super::call::Page;
use super::super::error::ServiceError;
use crate::pki::Sealer;

const MARK_BYTES: usize = 32;

/// The token of the page of `from` that begins after `name`.
pub(super) fn write(sealer: &Sealer, from: &Urn, page: &Page, name: &str) -> String {
    let mark = sealer.mark(&marked(from, page, name));
    URL_SAFE_NO_PAD.encode([name.as_bytes(), &mark].concat())
}

/// The name after which the page begins.
///
/// # Errors
/// When it is not a token of this list.
pub(super) fn read(sealer: &Sealer, from: &Urn, page: &Page, token: &str) -> Result<String, ServiceError> {
    let name = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (name, mark) = bytes.split_at_checked(bytes.len().checked_sub(MARK_BYTES)?)?;
        let name = std::str::from_utf8(name).ok()?;
        sealer.is_mark(&marked(from, page, name), mark).then(|| name.to_owned())
    };
    name().ok_or_else(|| ServiceError::Parameter {
        parameter: "skipToken".to_owned(),
        why: "is not a token of an earlier page of this list; give it back as it was, with the same labels and the \
              same Accept, or start again without it"
            .to_owned(),
    })
}

fn marked(from: &Urn, page: &Page, name: &str) -> Vec<u8> {
    let collection = Urn { name: String::new(), ..from.clone() };
    let selector = page.selector.as_ref().map_or("", |selector| selector.text());
    let parts = ["page 1", &collection.to_string(), page.deleted.as_str(), selector, name];
    let mut text = Vec::new();
    for part in parts {
        // The length keeps the parts apart.
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    text
}
