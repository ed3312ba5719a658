//! Names of machines, as they stand in certificates: `controller:ID` or `host:NAME`.

use std::fmt;
use std::str::FromStr;

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// A controller, by its replica id.
    Controller(u64),
    /// A hypervisor host, by the name operators gave it.
    Host(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Controller(id) => write!(to, "controller:{id}"),
            Identity::Host(name) => write!(to, "host:{name}"),
        }
    }
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Identity, String> {
        let bad = || format!("{text:?} names neither controller:ID nor host:NAME");
        match text.split_once(':') {
            Some(("controller", id)) => {
                let parsed: u64 = id.parse().map_err(|_| bad())?;
                // One spelling each: "+1" and "01" are not replica 1.
                if parsed.to_string() == id { Ok(Identity::Controller(parsed)) } else { Err(bad()) }
            }
            Some(("host", name)) if !name.is_empty() => Ok(Identity::Host(name.to_owned())),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for identity in [Identity::Controller(7), Identity::Host("h-1".to_owned())] {
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        for bad in ["", "controller:", "controller:01", "controller:+1", "host:", "tenant:a", "h1"] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?}");
        }
    }
}
