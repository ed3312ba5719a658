//! Waiting for facts. The only place that sleeps.

use std::future::Future;
use std::time::{Duration, Instant};

/// How often a fact is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `fact` is there, and returns it.
///
/// # Errors
/// When it is not there within `patience`, with `what` was waited for and the last thing seen.
pub async fn awaited<T, F, Fut>(what: &str, patience: Duration, mut fact: F) -> Result<T, String>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match fact().await {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() > patience => {
                return Err(format!("waited {patience:?} for {what}; last seen: {seen}"));
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Waits until `fact` is there, and returns it, in a test.
///
/// # Panics
/// Where [`awaited`] has an error.
pub async fn until_some<T, F, Fut>(what: &str, patience: Duration, fact: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    awaited(what, patience, fact).await.unwrap_or_else(|late| panic!("{late}"))
}

/// Waits until `fact` holds.
///
/// # Panics
/// When it does not within `patience`.
pub async fn until<F: FnMut() -> bool>(what: &str, patience: Duration, mut fact: F) {
    until_some(what, patience, || {
        let holds = fact();
        async move { if holds { Ok(()) } else { Err("not so".to_owned()) } }
    })
    .await;
}
