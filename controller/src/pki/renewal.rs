//! This controller's own certificate, signed anew by itself when half of its time is over. It asks nobody.

use std::sync::Arc;
use std::time::Duration;

use super::cluster_dir::{ClusterDir, Keys};

/// Between attempts that failed, and at least between two renewals.
const PAUSE: Duration = Duration::from_secs(1);

/// Renews for as long as the controller runs.
pub async fn run(dir: ClusterDir, keys: Arc<Keys>) {
    loop {
        let due = keys.credentials.certificate().until_renewal();
        // A machine that slept wakes up with a timer that did not: look at the clock now and then.
        tokio::time::sleep(due.clamp(PAUSE, Duration::from_secs(600))).await;
        if !keys.credentials.certificate().until_renewal().is_zero() {
            continue;
        }
        let (dir, keys) = (dir.clone(), keys.clone());
        let renewed = tokio::task::spawn_blocking(move || dir.renew(&keys)).await;
        match renewed {
            Ok(Ok(())) => tracing::info!("this controller has a new certificate"),
            Ok(Err(error)) => tracing::error!(%error, "renewing this controller's certificate; trying again"),
            Err(error) => tracing::error!(%error, "renewing this controller's certificate; trying again"),
        }
    }
}
