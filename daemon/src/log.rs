//! Logs: to standard error, as text for people or JSON for machines.
//!
//! What is logged is set by `log` (REMPART_LOG; RUST_LOG is heard if that is not set): a level, or directives such as
//! `info,rempart_agent=debug`. Secrets and what tenants wrote are never in a span or an event; that is up to those who
//! log.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings that every daemon has for its log.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// What is logged: a level, or directives such as info,rempart_agent=debug. RUST_LOG is heard if this is not set.
    #[arg(long, env = "REMPART_LOG", value_parser = checked)]
    pub log: Option<String>,
    /// Form of log lines.
    #[arg(long, env = "REMPART_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: Format,
}

fn checked(directives: &str) -> Result<String, String> {
    EnvFilter::try_new(directives).map(|_| directives.to_owned()).map_err(|error| error.to_string())
}

/// Begins to log; `default` is what is logged if nothing was set. To be called once.
pub fn init(settings: &LogSettings, default: &str) {
    let set = settings.log.as_deref().and_then(|directives| EnvFilter::try_new(directives).ok());
    let filter =
        set.or_else(|| EnvFilter::try_from_default_env().ok()).unwrap_or_else(|| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => log.json().flatten_event(true).with_current_span(false).init(),
    }
}
