//! The numbers that the bridge counts, through the `metrics` facade.
//!
//! Every series is registered with the bridge, so that each of them is exported as 0 before anything happened.
//! Install the recorder first.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::{Reason, Verdict};

/// Look-ups in the cache, by `result`: `hit` (a valid session), `negative` (a refusal), `miss`.
pub const CACHE_LOOKUPS: &str = "parlant_auth_cache_hits_total";
/// Credentials judged, by `source` (whose answer it is, cached or not) and `outcome`: valid, invalid, unknown.
pub const VALIDATIONS: &str = "parlant_auth_validations_total";
/// Credentials refused, by `reason`: [`Reason::as_str`](crate::Reason::as_str).
pub const DENIALS: &str = "parlant_auth_denials_total";
/// Valid sessions in the cache.
pub const CACHED_SESSIONS: &str = "parlant_auth_cached_sessions";

/// The label of verdicts on JWTs, whatever finds their users.
const JWT: &str = "jwt";

pub(crate) struct Metrics {
    pub(crate) hits: Counter,
    pub(crate) negatives: Counter,
    pub(crate) misses: Counter,
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
        describe_gauge!(CACHED_SESSIONS, "Valid sessions in the cache.");
        let lookup = |result: &'static str| counter!(CACHE_LOOKUPS, "result" => result);
        Self {
            hits: lookup("hit"),
            negatives: lookup("negative"),
            misses: lookup("miss"),
            cached_sessions: gauge!(CACHED_SESSIONS),
            sessions: Outcomes::register(source),
            jwts: Outcomes::register(JWT),
            denials: Reason::ALL.map(|reason| counter!(DENIALS, "reason" => reason.as_str())),
        }
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
