//! Name rules of SECA (section 5) and the short identifiers of tenants, workspaces and networks.

/// Why a string is not a legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than the bound.
    #[error("must have 1 to {max} characters, has {actual}")]
    Length {
        /// Upper bound in characters.
        max: usize,
        /// What it has.
        actual: usize,
    },
    /// A character or position the pattern does not allow.
    #[error(
        "must be lower-case letters, digits, '-' and '.', each part between dots beginning and ending with a \
         letter or digit"
    )]
    Pattern,
}

/// A resource name: 1..128 characters, `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`.
pub fn check_name(name: &str) -> Result<(), NameError> {
    check(name, 128)
}

/// A name that other resources carry in their metadata (tenant, workspace, network, region, role): at most 64.
pub fn check_short_name(name: &str) -> Result<(), NameError> {
    check(name, 64)
}

/// A zone: 1..32 characters. Whether it exists is the region's business.
pub fn check_zone(zone: &str) -> Result<(), NameError> {
    match zone.chars().count() {
        1..=32 => Ok(()),
        actual => Err(NameError::Length { max: 32, actual }),
    }
}

fn check(name: &str, max: usize) -> Result<(), NameError> {
    let length = name.chars().count();
    if length == 0 || length > max {
        return Err(NameError::Length { max, actual: length });
    }
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let legal = name.split('.').all(|part| {
        let bytes = part.as_bytes();
        alphanumeric(bytes.first())
            && alphanumeric(bytes.last())
            && bytes.iter().all(|&b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    if legal { Ok(()) } else { Err(NameError::Pattern) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_and_bounds() {
        for good in ["a", "web-1", "seca.d2xs", "0", "a--b", &"x".repeat(128)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(129);
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a..b",
            ".a",
            "a.",
            "a_b",
            "a b",
            "é",
            "a/b",
            "..",
            "a\0",
            "\u{202e}a",
            long.as_str(),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_short_name(&"x".repeat(65)).is_err());
        assert!(check_zone("").is_err() && check_zone("a").is_ok() && check_zone(&"z".repeat(33)).is_err());
    }
}
