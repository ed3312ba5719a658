//! One OpenID Connect issuer: its keys, kept fresh, and the verification of its tokens.
//!
//! ```text
//!   keep_keys:  fetch ── good ──> keys, and the cache emptied if they changed ──> wait `refresh-seconds`
//!                 └───── failed ──> the keys of before stay, for `keys-max-age-seconds` ──> wait 1 s, 2 s, .. 60 s
//!   verify:     a key that is not known ──> fetch now, if the last time is [`COOL_DOWN`] ago; wait for it; look again
//! ```
//!
//! What always holds: whatever tokens arrive, an issuer is asked once in [`COOL_DOWN`] at most; no request waits for it
//! longer than [`ANSWER_PATIENCE`].

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::Validation;
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::cache::{Cache, Known};
use super::fetch::Fetcher;
use super::keys::{Choice, Keys};
use super::settings::IssuerSettings;
use super::{NO_JWT, Proof, words};

/// Least time between two fetches that tokens bring about.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// How long a request waits for keys: two answers of an issuer that is slow.
const ANSWER_PATIENCE: Duration = Duration::from_secs(11);
/// How far an issuer's clock may be from ours, in seconds.
const CLOCK_SKEW_S: u64 = 60;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An issuer cannot be asked as its settings say.
#[derive(Debug, thiserror::Error)]
#[error("issuer {issuer}: {why}")]
pub struct OidcError {
    issuer: String,
    why: String,
}

pub(super) struct Issuer {
    settings: IssuerSettings,
    fetcher: Fetcher,
    held: RwLock<Arc<Held>>,
    wanted: Notify,
    attempts: watch::Sender<Attempts>,
}

/// Keys, and since when.
#[derive(Default)]
struct Held {
    keys: Keys,
    fetched: Option<Instant>,
}

/// Fetches that have ended, well or not.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    count: u64,
    last: Option<Instant>,
}

impl Attempts {
    fn is_recent(self) -> bool {
        self.last.is_some_and(|at| at.elapsed() < COOL_DOWN)
    }
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings) -> Result<Issuer, OidcError> {
        let fetcher = Fetcher::new(settings.clone());
        let fetcher = fetcher.map_err(|why| OidcError { issuer: settings.url.text.clone(), why })?;
        let (attempts, _) = watch::channel(Attempts::default());
        Ok(Issuer { settings, fetcher, held: RwLock::default(), wanted: Notify::new(), attempts })
    }

    /// Whether it is the one that calls itself so.
    pub(super) fn is(&self, identity: &str) -> bool {
        self.settings.url.text == identity
    }

    /// Whether a subject is, by its form, one of this issuer.
    pub(super) fn owns(&self, subject: &str) -> bool {
        subject.strip_prefix(&self.settings.prefix).is_some_and(|rest| rest.starts_with(':'))
    }

    fn held(&self) -> Arc<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys again and again. Does not end.
    pub(super) async fn keep_keys(&self, cache: &Cache) {
        let mut failures = 0;
        loop {
            match self.fetch().await {
                Ok(keys) => {
                    failures = 0;
                    self.take(keys, cache);
                }
                Err(why) => {
                    failures += 1;
                    self.complain(&why);
                }
            }
            let result = if failures == 0 { "good" } else { "failed" };
            metrics::counter!("rempart_oidc_fetches_total", "result" => result).increment(1);
            self.attempts.send_modify(|attempts| {
                *attempts = Attempts { count: attempts.count + 1, last: Some(Instant::now()) };
            });
            let pause = match failures {
                0 => self.settings.refresh(),
                _ => Duration::from_secs(1 << (failures - 1).min(6)).min(LONGEST_PAUSE),
            };
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.wanted.notified() => if !self.attempts.borrow().is_recent() { break },
                }
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        Keys::read(&self.fetcher.keys().await?, &self.settings.algorithms)
    }

    fn take(&self, keys: Keys, cache: &Cache) {
        let changed = !keys.are(&self.held().keys);
        let (count, issuer) = (keys.count(), &self.settings.url.text);
        let held = Arc::new(Held { keys, fetched: Some(Instant::now()) });
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        if !changed {
            return;
        }
        // After the change: what is verified from here on is verified with the new ones.
        cache.forget();
        if count == 0 {
            tracing::warn!(
                issuer,
                "the issuer publishes no key that it may sign with here; its tokens are refused"
            );
        } else {
            tracing::info!(issuer, keys = count, "the issuer's keys have changed");
        }
    }

    fn complain(&self, why: &str) {
        let issuer = &self.settings.url.text;
        match self.age_left() {
            Some(left) => tracing::warn!(
                issuer,
                why,
                seconds_left = left.as_secs(),
                "the issuer's keys could not be fetched; those known are used on, tokens signed with others are refused"
            ),
            None => tracing::warn!(
                issuer,
                why,
                "the issuer's keys could not be fetched, and none are known that may still be used; its tokens \
                              are refused"
            ),
        }
    }

    /// For how long the keys may still be used.
    fn age_left(&self) -> Option<Duration> {
        let age = self.held().fetched?.elapsed();
        self.settings.keys_max_age().checked_sub(age).filter(|left| !left.is_zero())
    }

    /// What a token of this issuer proves.
    pub(super) async fn verify(&self, token: &str) -> Result<Known, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| NO_JWT.to_owned())?;
        if !self.settings.algorithms.contains(&header.alg) {
            return Err("the token is signed in a way that its issuer may not use here".to_owned());
        }
        if header.crit.is_some() {
            return Err("the token demands what is not understood here (crit)".to_owned());
        }
        let kid = header.kid.as_deref();
        let mut held = self.held();
        let is_known = |held: &Held| !matches!(held.keys.choose(kid, header.alg), Choice::Unknown);
        if (self.age_left().is_none() || !is_known(&held)) && self.fetched_anew().await {
            held = self.held();
        }
        let (Some(fetched), Some(_)) = (held.fetched, self.age_left()) else {
            return Err(
                "the keys of the token's issuer cannot be had at the moment; try again later".to_owned()
            );
        };
        let key = match held.keys.choose(kid, header.alg) {
            Choice::Key(key) => key,
            Choice::Several => {
                return Err("the token does not say which key of its issuer signed it".to_owned());
            }
            Choice::Unknown => {
                return Err("the token is signed with a key that its issuer does not publish".to_owned());
            }
        };
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&[&self.settings.url.text]);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        validation.validate_nbf = true;
        validation.leeway = CLOCK_SKEW_S;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
        let claims = claims.map_err(|error| words(&error))?.claims;
        let subject = self.subject(&claims)?;
        let expires = claims.get("exp").and_then(|exp| exp.as_u64().or_else(|| whole(exp.as_f64()?)));
        Ok(Known {
            subject: format!("{}:{subject}", self.settings.prefix).into(),
            proof: Proof::Foreign,
            expires_unix_s: expires.unwrap_or_default(),
            stale_from: fetched.checked_add(self.settings.keys_max_age()),
        })
    }

    fn subject<'a>(&self, claims: &'a Map<String, Value>) -> Result<&'a str, String> {
        let claim = &self.settings.subject_claim;
        if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err("the token's e-mail address is not verified by its issuer".to_owned());
        }
        let subject = claims.get(claim).and_then(Value::as_str).filter(|subject| !subject.is_empty());
        subject.ok_or_else(|| format!("the token does not have the claim {claim:?}, or not as text"))
    }

    /// Whether keys were looked for once more, well or not.
    async fn fetched_anew(&self) -> bool {
        let mut attempts = self.attempts.subscribe();
        let before = *attempts.borrow_and_update();
        if before.is_recent() {
            return false;
        }
        self.wanted.notify_one();
        timeout(ANSWER_PATIENCE, attempts.wait_for(|now| now.count > before.count)).await.is_ok()
    }
}

/// Seconds that an issuer writes with a fraction.
fn whole(seconds: f64) -> Option<u64> {
    Duration::try_from_secs_f64(seconds).ok().map(|time| time.as_secs())
}
