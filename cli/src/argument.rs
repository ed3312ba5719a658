//! Words of the command line, judged before anything is read or asked: quantities in their bounds, names in their form.
//!
//! A refusal says what would be right. Whether what is named exists is the server's to say, and so are bounds that an
//! installation may choose.

use rempart_api::{check_name, check_zone};

/// The largest volume, in GB: the contract's bound of `sizeGB`.
const MAX_VOLUME_GB: u64 = 1_000_000;

/// The longest waiting that can be asked for: a year.
const MAX_WAIT_SECONDS: u64 = 31_536_000;

/// What a parser of clap's says.
pub(crate) type Parsed<T> = std::result::Result<T, String>;

fn whole(text: &str, unit: &str, least: u64, most: u64) -> Parsed<u64> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number of {unit}, from {least} to {most}"))
}

/// The size of a volume.
pub(crate) fn gigabytes(text: &str) -> Parsed<u32> {
    let size = whole(text, "GB", 1, MAX_VOLUME_GB)?;
    u32::try_from(size).map_err(|error| error.to_string())
}

/// How long to wait.
pub(crate) fn seconds(text: &str) -> Parsed<u64> {
    whole(text, "seconds", 0, MAX_WAIT_SECONDS)
}

/// How much of a serial log.
pub(crate) fn log_bytes(text: &str) -> Parsed<u32> {
    let count = whole(text, "bytes", 1, rempart_api::console::MAX_LOG_BYTES.into())?;
    u32::try_from(count).map_err(|error| error.to_string())
}

/// A name and nothing more.
pub(crate) fn name(text: &str) -> Parsed<String> {
    check_name(text).map_err(|error| format!("a name {error}"))?;
    Ok(text.to_owned())
}

/// A name, a path or a URN; of what kind, and whether it is whole, is seen when it is resolved.
pub(crate) fn target(text: &str) -> Parsed<String> {
    if text.split('/').any(|part| check_name(part).is_err()) {
        return if text.contains('/') {
            Err("it is no path: each part between slashes has to be a name, as in tenants/public/images/debian"
                .to_owned())
        } else {
            name(text)
        };
    }
    Ok(text.to_owned())
}

/// A zone.
pub(crate) fn zone(text: &str) -> Parsed<String> {
    check_zone(text).map_err(|error| format!("a zone {error}"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_out_of_bounds_are_told_the_bounds() {
        assert_eq!((gigabytes("1"), gigabytes("1000000")), (Ok(1), Ok(1_000_000)));
        for bad in ["0", "1000001", "9999999999", "99999999999999999999999", "-1", "1.5", "x", "", "5GB"] {
            let why = gigabytes(bad).unwrap_err();
            assert!(why.contains("from 1 to 1000000"), "{bad}: {why}");
        }
        assert_eq!(seconds("0"), Ok(0));
        assert!(seconds("18446744073709551615").unwrap_err().contains("to 31536000"));
        assert!(log_bytes("0").unwrap_err().contains("from 1 to 1048576"));
        assert_eq!(log_bytes("1048576"), Ok(1_048_576));
    }

    #[test]
    fn names_and_paths_are_told_their_form() {
        for good in ["web-1", "seca.d2xs", "tenants/public/images/tiny", "seca.storage/v1/tenants/t/images/x"]
        {
            assert_eq!(target(good), Ok(good.to_owned()));
        }
        assert!(target("A_b").unwrap_err().contains("lower-case letters"));
        assert!(target("").unwrap_err().contains("1 to 128 characters"));
        for bad in ["../x", "a//b", "/a", "a/", "tenants/%2e/images/x"] {
            assert!(target(bad).unwrap_err().contains("tenants/public/images/debian"), "{bad}");
        }
        assert!(name("a/b").is_err());
        assert!(zone("").is_err());
    }
}
