//! The numbers that the bridge counts, through the `metrics` facade.
//!
//! Every series is registered with the bridge, so that each of them is exported as 0 before anything happened.
//! Install the recorder first.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::{Identity, Reason, Verdict};

/// Look-ups in the cache, by `result`: `hit` (a valid session), `negative` (a refusal), `miss`; of the misses, `stale`
/// were answered with what was known before, because the source could not be asked.
pub const CACHE_LOOKUPS: &str = "parlant_auth_cache_hits_total";
/// Credentials judged, by `source` (whose answer it is, cached or not) and `outcome`: valid, invalid, unknown.
pub const VALIDATIONS: &str = "parlant_auth_validations_total";
/// Credentials refused, by `reason`: [`Reason::as_str`](crate::Reason::as_str).
pub const DENIALS: &str = "parlant_auth_denials_total";
/// Remembered sessions that were forgotten before their time, by `by`: `session` (signed out, expired, gone), `ban`,
/// `access` (a workspace or permission taken away), `caller` ([`revoke`](crate::AuthBridge::revoke)).
pub const REVOCATIONS: &str = "parlant_auth_revocations_total";
/// Valid sessions in the cache.
pub const CACHED_SESSIONS: &str = "parlant_auth_cached_sessions";

/// The label of verdicts on JWTs, whatever finds their users.
const JWT: &str = "jwt";

/// What ended a remembered session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Session,
    Ban,
    Access,
    Caller,
}

impl By {
    const ALL: [Self; 4] = [Self::Session, Self::Ban, Self::Access, Self::Caller];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Ban => "ban",
            Self::Access => "access",
            Self::Caller => "caller",
        }
    }

    pub(crate) fn reason(reason: Reason) -> Self {
        if reason == Reason::Banned { Self::Ban } else { Self::Session }
    }

    /// Nothing, when nothing was taken away.
    pub(crate) fn change(before: &Identity, now: &Identity) -> Option<Self> {
        let lost = before.workspaces.iter().any(|had| now.permission(&had.id) < Some(had.permission));
        lost.then_some(Self::Access)
    }
}

pub(crate) struct Metrics {
    pub(crate) hits: Counter,
    pub(crate) negatives: Counter,
    pub(crate) misses: Counter,
    pub(crate) stale: Counter,
    revocations: [Counter; By::ALL.len()],
    pub(crate) cached_sessions: Gauge,
    sessions: Outcomes,
    jwts: Outcomes,
    denials: [Counter; Reason::ALL.len()],
}

struct Outcomes {
    valid: Counter,
    invalid: Counter,
    unknown: Counter,
}

impl Outcomes {
    fn register(source: &'static str) -> Self {
        let outcome = |outcome: &'static str| counter!(VALIDATIONS, "source" => source, "outcome" => outcome);
        Self { valid: outcome("valid"), invalid: outcome("invalid"), unknown: outcome("unknown") }
    }
}

impl Metrics {
    pub(crate) fn register(source: &'static str) -> Self {
        describe_counter!(CACHE_LOOKUPS, "Look-ups in the session cache.");
        describe_counter!(VALIDATIONS, "Credentials judged.");
        describe_counter!(DENIALS, "Credentials refused.");
        describe_counter!(REVOCATIONS, "Remembered sessions that were forgotten before their time.");
        describe_gauge!(CACHED_SESSIONS, "Valid sessions in the cache.");
        let lookup = |result: &'static str| counter!(CACHE_LOOKUPS, "result" => result);
        Self {
            hits: lookup("hit"),
            negatives: lookup("negative"),
            misses: lookup("miss"),
            stale: lookup("stale"),
            revocations: By::ALL.map(|by| counter!(REVOCATIONS, "by" => by.as_str())),
            cached_sessions: gauge!(CACHED_SESSIONS),
            sessions: Outcomes::register(source),
            jwts: Outcomes::register(JWT),
            denials: Reason::ALL.map(|reason| counter!(DENIALS, "reason" => reason.as_str())),
        }
    }

    pub(crate) fn revoked(&self, by: By) {
        self.revocations[by as usize].increment(1);
    }

    pub(crate) fn verdict(&self, is_jwt: bool, verdict: &Verdict) {
        let outcomes = if is_jwt { &self.jwts } else { &self.sessions };
        match verdict {
            Verdict::Valid(_) => outcomes.valid.increment(1),
            Verdict::Unknown(_) => outcomes.unknown.increment(1),
            Verdict::Invalid(reason) => {
                outcomes.invalid.increment(1);
                self.denials[*reason as usize].increment(1);
            }
        }
    }
}
