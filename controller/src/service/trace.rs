//! W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>`.
//!
//! A client's is kept if it is well-formed, so that its traces and our audit can be joined; else one is made of the
//! request's id. The request id itself is never a client's: it is what makes repetitions harmless, and whoever could
//! choose it could be answered for somebody else's request.

use uuid::Uuid;

/// The traceparent of a request: the client's, or one of its own.
pub fn traceparent(offered: Option<&str>, request_id: Uuid) -> String {
    match offered {
        Some(offered) if is_well_formed(offered) => offered.to_owned(),
        _ => {
            let trace = request_id.simple().to_string();
            format!("00-{trace}-{}-01", &trace[16..])
        }
    }
}

fn is_well_formed(offered: &str) -> bool {
    let parts: Vec<&str> = offered.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let hexadecimal = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |text: &str| text.bytes().any(|byte| byte != b'0');
    version == "00"
        && hexadecimal(trace, 32)
        && hexadecimal(parent, 16)
        && hexadecimal(flags, 2)
        && nonzero(trace)
        && nonzero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_well_formed_is_kept() {
        let id = Uuid::from_u128(0x0190_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001);
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(Some(good), id), good);
        let own = "00-0190aaaabbbb7ccc8dddeeeeffff0001-8dddeeeeffff0001-01";
        for bad in [
            None,
            Some(""),
            Some("x"),
            Some("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            Some("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
            Some("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
            Some("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"),
            Some("00-0af7651916cd43dd8448eb211c80319\n-b7ad6b7169203331-01"),
        ] {
            assert_eq!(traceparent(bad, id), own, "{bad:?}");
        }
        assert!(is_well_formed(own));
    }
}
