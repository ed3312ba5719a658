//! The threads of consensus: one that owns the log on disk, one that owns the machine, and those that block for others.
//!
//! In a simulation all of them are tasks on the one thread there is.

use std::{io, thread};

/// Work that goes on until nobody is left who could ask for any.
pub(crate) enum Worker {
    /// On a thread of its own.
    Thread(thread::JoinHandle<()>),
    /// In a simulation.
    #[cfg(test)]
    Task(tokio::task::JoinHandle<()>),
}

impl Worker {
    /// Starts a thread of this name.
    pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        Ok(Self::Thread(thread::Builder::new().name(name.to_owned()).spawn(work)?))
    }

    /// Waits for its end. False if it panicked.
    pub(super) async fn join(self) -> bool {
        match self {
            Self::Thread(thread) => {
                matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
            #[cfg(test)]
            Self::Task(task) => task.await.is_ok(),
        }
    }
}

/// Has `work`, which blocks, done where it holds up nobody.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    #[cfg(test)]
    if super::simulated::is_on() {
        super::simulated::pause(super::simulated::Pause::Disk).await;
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
