//! One-time tokens, and the machines that join with one.
//!
//! A token is used up by the entry that uses it, so on every replica and for good: its id is kept until it has expired
//! by State's clock, which never runs back, and from then on its expiry refuses it. Whether a token is genuine is not
//! decided here: only who holds the issuer's key can tell, and checks it before it proposes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rempart_api::fleet::{HostSpec, Overcommit};
use rempart_api::{Kind, Phase, Urn};
use uuid::Uuid;

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{EnrolCommand, RedeemCommand, TokenUse};
use crate::kinds::{Spec, check_digest, check_zone};
use crate::object::{Detail, Identity};
use crate::refusal::{Fault, Refusal};

/// Used tokens that are kept at most, so that State stays small whoever uses many. Join tokens, which operators alone
/// hand out, are let in beyond it.
const MAX_REDEEMED: usize = 4096;

impl Tx {
    /// A machine joined: it is `enrol.host` from now on, whoever was before. A token for that very name is the
    /// operator's word that this is wanted.
    pub(super) fn enrol(&mut self, enrol: &EnrolCommand) -> Outcome {
        let mut faults = Vec::new();
        if let Err(error) = rempart_api::check_short_name(&enrol.host) {
            faults.push(Fault::new("/host", error.to_string()));
        }
        check_digest(&mut faults, "/keySha256", &enrol.key_sha256);
        if let Some(zone) = &enrol.zone {
            check_zone(&self.state, &mut faults, "/zone", zone);
        }
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        self.use_up(&enrol.token)?;
        let urn = Urn::global(Kind::Host, &enrol.host);
        let mut object = match self.state.get(&urn) {
            Some(known) if known.is_deleting() => {
                return Err(Refusal::conflict(format!("{urn} is being deleted; enrol it when it has gone")));
            }
            Some(known) => (**known).clone(),
            None => {
                self.check_fresh(enrol.uid)?;
                let zone = enrol.zone.clone().unwrap_or_default();
                let spec = HostSpec { zone, cordoned: false, overcommit: Some(Overcommit::default()) };
                self.new_object(urn.clone(), enrol.uid, spec.into(), &[Phase::Pending, Phase::Creating])
            }
        };
        let (Spec::Host(spec), Detail::Host(detail)) = (&mut object.spec, &mut object.detail) else {
            return Err(Refusal::conflict(format!("{urn} is not a host")));
        };
        if let Some(zone) = &enrol.zone
            && *zone != spec.zone
        {
            if detail.was_seen() || !spec.zone.is_empty() {
                return Err(Refusal::conflict(format!(
                    "{urn} stands in zone {:?}, the token says {zone:?}; mint one without a zone or for that one, or \
                     delete the host first",
                    spec.zone
                )));
            }
            Arc::make_mut(spec).zone.clone_from(zone);
        }
        detail.identity =
            Some(Identity { key_sha256: enrol.key_sha256.clone(), enrolled_at: self.now, revoked_at: None });
        self.write(object);
        Ok(Answer::Accepted)
    }

    /// Any other use of a one-time token.
    pub(super) fn redeem(&mut self, redeem: &RedeemCommand) -> Outcome {
        if self.state.core.redeemed.len() >= MAX_REDEEMED {
            self.forget_expired();
        }
        if self.state.core.redeemed.len() >= MAX_REDEEMED {
            return Err(Refusal::conflict(
                "too many one-time tokens were used just now; try again in a minute",
            ));
        }
        if let Some(urn) = &redeem.urn {
            let object = self.expect(urn)?;
            if object.is_deleting() {
                return Err(Refusal::conflict(format!("{urn} is being deleted")));
            }
        }
        self.use_up(&redeem.token)?;
        Ok(Answer::Accepted)
    }

    fn use_up(&mut self, token: &TokenUse) -> Result<(), Refusal> {
        if token.expires_at <= self.now {
            let at = token.expires_at;
            return Err(Refusal::conflict(format!("this token expired at {at}; ask for a new one")));
        }
        if let Some(restored) = &self.state.core.restored
            && minted_ms(token.id).is_some_and(|minted| minted <= restored.restored_at.unix_ms())
        {
            return Err(Refusal::conflict(
                "this token is older than the restore of this installation from a backup, which may not know that it was used; \
                 ask for a new one",
            ));
        }
        self.forget_expired();
        if self.state.core.redeemed.contains_key(&token.id) {
            return Err(Refusal::conflict("this token was used before, and works once; ask for a new one"));
        }
        Arc::make_mut(&mut self.state.core.redeemed).insert(token.id, token.expires_at);
        Ok(())
    }

    fn forget_expired(&mut self) {
        if self.state.core.redeemed.values().any(|expires_at| *expires_at <= self.now) {
            let alive: BTreeMap<_, _> = self
                .state
                .core
                .redeemed
                .iter()
                .filter(|(_, expires_at)| **expires_at > self.now)
                .map(|(id, expires_at)| (*id, *expires_at))
                .collect();
            self.state.core.redeemed = Arc::new(alive);
        }
    }
}

/// When a token was minted, where its id says so (UUIDv7), in milliseconds since 1970. Those whose ids do not hold for a minute.
fn minted_ms(id: Uuid) -> Option<i64> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    i64::try_from(seconds.saturating_mul(1000) + u64::from(nanoseconds) / 1_000_000).ok()
}
