//! A cluster that was restored from a backup is opened when it has been compared with all of its hosts.

use rempart_model::{Command, ResumeCommand};

use super::PAUSE;
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};

/// Opens it as soon as nothing is waited for any more. Never ends while this replica leads.
pub(super) async fn run(node: &Node, replica: &Replica) {
    let mut states = replica.watch();
    loop {
        let awaited = states.borrow_and_update().awaited(&[]);
        match awaited {
            // It is open, for good.
            None => std::future::pending::<()>().await,
            Some(awaited) if awaited.hosts.is_empty() && awaited.conflicts.is_empty() => {
                let resume = Command::Resume(ResumeCommand::default());
                match propose_as_system(node, resume).await {
                    Ok(outcome) if outcome.is_ok() => {
                        tracing::info!("compared with all hosts after the restore; changes are taken again");
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "opening the restored cluster");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            Some(_) => {}
        }
        if states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Does `work` once the cluster is open: at once, if it was never restored.
pub(super) async fn then<T>(replica: &Replica, work: impl Future<Output = T>) -> T {
    let mut states = replica.watch();
    if states.wait_for(|state| state.read_only().is_none()).await.is_err() {
        // Nothing is published any more: this replica is stopping.
        std::future::pending::<()>().await;
    }
    work.await
}
