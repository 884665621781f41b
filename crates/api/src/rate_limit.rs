//! How much may be asked, and by whom.
//!
//! Who presents a credential that was good when it was last looked at has a bucket of requests of its own. All other
//! requests are their address's: those without a credential, and those with one that nobody knows yet, so that
//! inventing credentials gains nothing. A credential that turns out to be good gives back what it took from the
//! address, so that those who sign in behind one address do not wait for each other. One that turns out to be bad is
//! held against the address; one too many, and unknown credentials from there are refused without asking the source.
//!
//! Nothing is looked up for it: a credential is known by its hash, for as long as it is used.

mod buckets;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR};
use actix_web::{HttpMessage as _, HttpRequest};
use metrics::Counter;
use parlant_auth_bridge::actix::credential;
use parlant_auth_bridge::{ClientAddress, Credential, Verdict};

pub use buckets::Standing;
use buckets::{Buckets, LIFE, Recent};

use crate::metrics::RATE_LIMITED;
use crate::{ApiError, State};

/// How much may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a minute, in the long run (`RATE_LIMIT_PER_MINUTE`).
    pub per_minute: NonZeroU32,
    /// Requests at once (`RATE_LIMIT_BURST`).
    pub burst: NonZeroU32,
    /// Different bad credentials a minute from one address (`RATE_LIMIT_INVALID_TOKENS`); any number where `None`.
    pub invalid_tokens: Option<NonZeroU32>,
}

/// What was asked already. Clones share it: there is one for all workers.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

/// An address, of IPv6 the network of a subscriber (/64): its holder can use every address in it.
type Network = Option<IpAddr>;

struct Inner {
    networks: Buckets<Network>,
    /// By hash. Those that are here are known to be good.
    credentials: Buckets<u64>,
    /// Bad credentials.
    failures: Option<Buckets<Network>>,
    /// By hash, those that were counted: one and the same again and again is a stuck client and not a guess.
    counted: Mutex<Recent<u64, ()>>,
    hasher: RandomState,
    limited: [Counter; Reason::ALL.len()],
    /// Whether it was said that a proxy may be missing in the settings.
    said: AtomicBool,
}

/// What was used up.
#[derive(Clone, Copy)]
enum Reason {
    Credential,
    Address,
    InvalidTokens,
}

impl Reason {
    const ALL: [&'static str; 3] = ["credential", "address", "invalid_tokens"];
}

impl RateLimits {
    /// Nothing asked yet. Install the metrics recorder first.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        metrics::describe_counter!(RATE_LIMITED, "Requests refused because too much was asked.");
        Self(Arc::new(Inner {
            networks: Buckets::new(limit.per_minute, limit.burst),
            credentials: Buckets::new(limit.per_minute, limit.burst),
            failures: limit.invalid_tokens.map(|most| Buckets::new(most, most)),
            counted: Mutex::new(Recent::new(LIFE)),
            hasher: RandomState::new(),
            limited: Reason::ALL.map(|reason| metrics::counter!(RATE_LIMITED, "reason" => reason)),
            said: AtomicBool::new(false),
        }))
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").finish_non_exhaustive()
    }
}

/// A request that was admitted; kept in its extensions.
pub(crate) struct Admission {
    limits: RateLimits,
    network: Network,
    /// The hash of the credential that it presents.
    presents: Option<u64>,
    /// Whether that was not known and the address paid.
    owed: Cell<bool>,
    standing: Cell<Standing>,
}

impl Admission {
    /// Counts a request, where there are limits.
    pub(crate) fn to(request: &HttpRequest) -> Result<Option<Rc<Self>>, ApiError> {
        let Some(limits) = State::of(request).and_then(|state| state.rate_limits.clone()) else {
            return Ok(None);
        };
        let client = request.extensions().get().map(|ClientAddress(client)| *client);
        let network = client.map(network);
        let presents = credential(request).map(|credential| limits.0.hasher.hash_one(credential));
        let known = presents.filter(|key| limits.0.credentials.contains(key));
        let standing = match &known {
            Some(key) => limits.0.credentials.take(key).map_err(|empty| limits.0.refused(Reason::Credential, empty))?,
            None => limits.0.networks.take(&network).map_err(|empty| {
                limits.0.suspect_a_proxy(request, client);
                limits.0.refused(Reason::Address, empty)
            })?,
        };
        let (owed, standing) = (Cell::new(known.is_none()), Cell::new(standing));
        let admission = Rc::new(Self { limits, network, presents, owed, standing });
        request.extensions_mut().insert(Rc::clone(&admission));
        Ok(Some(admission))
    }

    /// What the request was counted as.
    pub(crate) fn of(request: &HttpRequest) -> Option<Rc<Self>> {
        request.extensions().get::<Rc<Self>>().cloned()
    }

    /// Whether a credential may be asked about, and by which key to [`learn`](Self::learn) the answer.
    pub(crate) fn inquire(&self, credential: &Credential) -> Result<u64, ApiError> {
        let limits = &*self.limits.0;
        let key = limits.hasher.hash_one(credential);
        if let Some(failures) = &limits.failures
            && !limits.credentials.contains(&key)
        {
            failures.take(&self.network).map_err(|empty| limits.refused(Reason::InvalidTokens, empty))?;
            failures.give_back(&self.network);
        }
        Ok(key)
    }

    /// Takes note of what a credential is worth.
    pub(crate) fn learn(&self, key: u64, verdict: &Verdict) {
        let limits = &*self.limits.0;
        match verdict {
            Verdict::Valid(_) if self.presents == Some(key) => {
                if self.owed.take() {
                    limits.networks.give_back(&self.network);
                    // It is admitted already.
                    self.standing.set(limits.credentials.take(&key).unwrap_or_else(|empty| empty));
                }
            }
            Verdict::Valid(_) => {
                if !limits.credentials.contains(&key) {
                    let _ = limits.credentials.take(&key);
                }
            }
            Verdict::Invalid(_) => {
                limits.credentials.remove(&key);
                let is_new = limits.counted.lock().unwrap_or_else(PoisonError::into_inner).set(&key, ());
                if let Some(failures) = limits.failures.as_ref().filter(|_| is_new) {
                    let _ = failures.take(&self.network);
                }
            }
            Verdict::Unknown(_) => {}
        }
    }

    /// Tells the client what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in self.standing.get().headers() {
            headers.insert(name, value);
        }
    }
}

impl Inner {
    fn refused(&self, reason: Reason, empty: Standing) -> ApiError {
        self.limited[reason as usize].increment(1);
        ApiError::RateLimited(empty)
    }

    /// Says once that those who share an address may be many behind a proxy that is not trusted.
    fn suspect_a_proxy(&self, request: &HttpRequest, client: Option<IpAddr>) {
        let forwards = request.headers().contains_key(X_FORWARDED_FOR);
        let is_peer = request.peer_addr().map(|peer| peer.ip().to_canonical()) == client;
        if forwards && is_peer && !self.said.swap(true, Ordering::Relaxed) {
            let client = client.map(tracing::field::display);
            tracing::warn!(
                client,
                "Limited an address that sends X-Forwarded-For: a proxy missing in TRUSTED_PROXIES?"
            );
        }
    }
}

fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use parlant_auth_bridge::Reason;

    use super::buckets::KEYS;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_million_invented_credentials_leave_bounded_traces() {
        let most = NonZeroU32::new(100).unwrap();
        let limits = RateLimits::new(RateLimit { per_minute: most, burst: most, invalid_tokens: Some(most) });
        for number in 0..1_000_000_u32 {
            // A thousand from each address, of which the last nine hundred are refused unasked.
            let network = Some(Ipv4Addr::from_bits(number / 1000).into());
            let standing = Standing { limit: 0, remaining: 0, wait: Duration::ZERO, reset: Duration::ZERO };
            let (owed, standing) = (Cell::new(true), Cell::new(standing));
            let admission = Admission { limits: limits.clone(), network, presents: None, owed, standing };
            let key = admission.inquire(&Credential::from_bearer(&number.to_string()));
            assert_eq!(key.is_ok(), number % 1000 < 100, "{number}");
            if let Ok(key) = key {
                admission.learn(key, &Verdict::Invalid(Reason::UnknownSession));
            }
        }
        let inner = &*limits.0;
        assert_eq!(inner.credentials.len(), 0, "none has a bucket");
        assert_eq!(inner.failures.as_ref().map(Buckets::len), Some(1000));
        assert!(inner.counted.lock().unwrap().len() <= KEYS);
    }
}
