//! The list of hosts: a line for each, with its name and join token.

use std::path::Path;

use anyhow::{Context as _, bail};

/// Names and tokens.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let hosts: Option<Vec<(String, String)>> = text
        .lines()
        .map(|line| line.split_once(' ').map(|(name, token)| (name.into(), token.into())))
        .collect();
    match hosts {
        Some(hosts) if !hosts.is_empty() => Ok(hosts),
        _ => bail!("{}: a line for each host is needed: its name, a blank, its token", path.display()),
    }
}
