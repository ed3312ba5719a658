//! What an operator does: settings, a clean end at any moment, metrics, and following one request through all logs.

mod ends;
mod follow;
mod settings;

/// The directory of the workspace.
fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
