//! The file of contexts: which installations there are, and as whom to speak to them.
//!
//! It holds tokens, so it is made with mode 0600, replaced as a whole, and refused when others may read it. What is
//! wrong with it is told by line, never by quoting it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The whole file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    /// The context that is meant when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One installation, one subject, and what is meant when a command does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Context {
    /// Base URL of any controller.
    pub(crate) server: String,
    /// Certificates that HTTPS is verified with, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Tenant when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Workspace when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<String>,
    /// The token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
    /// A file with the token, read at each use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Where the file is.
pub(crate) fn path(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
    let given = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = given("REMPART_CONFIG") {
        return Ok(path);
    }
    // The specification of XDG: a relative path there counts as none.
    let base = given("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(given("HOME")?.join(".config"))).ok_or_else(|| {
        Failure::usage("cannot tell where contexts are kept: neither HOME nor XDG_CONFIG_HOME is set")
            .next("Set one of them, or REMPART_CONFIG to the file itself")
    })?;
    Ok(base.join("rempart/config.toml"))
}

impl Config {
    /// Reads it; one that is not there is empty.
    pub(crate) fn load(path: &Path) -> Result<Config> {
        match read_private(path, "the contexts in it hold tokens") {
            Ok(Some(text)) => toml::from_str(&text).map_err(|error| {
                // Not the error's own rendering: it quotes the line, and the line may be a token's.
                let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
                Failure::usage(format!(
                    "cannot understand {}, line {line}: {}",
                    path.display(),
                    error.message().lines().next().unwrap_or_default()
                ))
                .next("Correct it, or move it away and add the contexts again: rempart context add")
            }),
            Ok(None) => Ok(Config::default()),
            Err(failure) => Err(failure),
        }
    }

    /// Writes it, readable for its owner alone at every moment.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| Failure::failed(format!("{error}")))?;
        // A link (people keep such files elsewhere) stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fail = |error| Failure::file("write", &path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        let part = dir.join(format!(".config.toml.{}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.map_err(fail)
    }
}

/// The text of a file that nobody but its owner may read; `None` when there is no such file.
pub(crate) fn read_private(path: &Path, why: &str) -> Result<Option<String>> {
    let fail = |error| Failure::file("read", path, &error);
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let metadata = file.metadata().map_err(fail)?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "{} may be read or written by others (mode {mode:04o}), and {why}",
            path.display()
        ))
        .next(format!("Make it yours alone: chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fail)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
