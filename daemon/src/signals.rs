//! Being told to end.
//!
//! The handlers are there from the first moment, so that a SIGTERM while a daemon still starts is heard as well. The
//! first signal asks for a clean end; a second one, or [`DEADLINE`] after the first, ends the process as it is: nothing
//! a daemon has promised depends on its clean end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long a clean end may take. Less than systemd's patience in the units of `packaging/systemd`.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Exit code of a daemon whose clean end was cut short.
pub const CUT_SHORT: i32 = 3;

/// Rings once the process was told to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Told(watch::Receiver<bool>);

impl Told {
    /// Waits until the process is told to end.
    pub async fn to_end(&self) {
        // The sender lives in a task that never ends before it has told.
        let _ = self.0.clone().wait_for(|told| *told).await;
    }

    /// Whether it was told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }
}

/// Begins to listen to SIGTERM and SIGINT. Within a Tokio runtime.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> std::io::Result<Told> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tell.send_replace(true);
        crate::systemd::notify("STOPPING=1");
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => {
                tracing::warn!("told to end a second time: ending now; what is missing is made up at the next start");
            }
            () = tokio::time::sleep(DEADLINE) => {
                tracing::error!(deadline_s = DEADLINE.as_secs(), "the clean end took too long: ending now");
            }
        }
        std::process::exit(CUT_SHORT);
    });
    Ok(Told(told))
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
