//! Credential in, verdict out.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::breaker::Breaker;
use crate::cache::{self, Cache, Held, Key, Memory};
use crate::credential::Form;
use crate::metrics::{By, Metrics};
use crate::revalidate;
use crate::signature::Signer;
use crate::{
    Cause, Config, ConfigError, Credential, Identity, Person, Reason, Refusal, SessionToken, Source, Statistics,
    Subject, Verdict, Verifier,
};

/// A credential whose signature holds.
pub(crate) enum Checked<'a> {
    Jwt(Subject),
    Session { token: &'a str, signed: Option<Cow<'a, str>> },
}

/// How long an answer is waited for on behalf of those who can be served without.
const PATIENCE: Duration = Duration::from_millis(250);

/// Judges credentials. Cheap to clone; all clones share one cache.
#[derive(Clone)]
pub struct AuthBridge {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) source: Arc<dyn Source>,
    verifier: Option<Arc<dyn Verifier>>,
    pub(crate) signer: Option<Signer>,
    pub(crate) cache: Cache,
    pub(crate) breaker: Breaker,
    pub(crate) stale_if_error: Duration,
    pub(crate) metrics: Metrics,
}

impl AuthBridge {
    /// A bridge for session tokens. Install the metrics recorder first.
    ///
    /// With a source that can be [rechecked](Source::recheck), a task of its own keeps the cache current until the last
    /// clone is dropped.
    ///
    /// # Errors
    /// When the secret cannot be Sim's.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, when there is a task to start.
    pub fn new(config: &Config, source: Arc<dyn Source>) -> Result<Self, ConfigError> {
        Self::build(config, source, None)
    }

    /// A bridge that takes JWTs as well.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when the source cannot find users by id.
    pub fn with_jwt(
        config: &Config,
        source: Arc<dyn Source>,
        verifier: Arc<dyn Verifier>,
    ) -> Result<Self, ConfigError> {
        if source.users().is_none() {
            return Err(ConfigError::JwtNeedsUsers { label: source.label() });
        }
        Self::build(config, source, Some(verifier))
    }

    fn build(
        config: &Config,
        source: Arc<dyn Source>,
        verifier: Option<Arc<dyn Verifier>>,
    ) -> Result<Self, ConfigError> {
        let signer = config.signer()?;
        let metrics = Metrics::register(source.label());
        let interval = config.revalidate_interval;
        let revalidates = config.caching && !interval.is_zero() && source.recheck().is_some();
        let cache = Cache::new(config, revalidates);
        let (breaker, stale_if_error) = (Breaker::default(), config.stale_if_error);
        let inner = Arc::new(Inner { source, verifier, signer, cache, breaker, stale_if_error, metrics });
        if revalidates {
            tokio::spawn(revalidate::run(Arc::downgrade(&inner), interval));
        }
        Ok(Self { inner })
    }

    /// Who presents this credential. Forms that nobody here can check and forged signatures are refused without
    /// asking anybody; everything else is answered by the cache or by the source.
    pub async fn authenticate(&self, credential: &Credential) -> Verdict {
        let verdict = Verdict::from(self.inner.judge(credential).await);
        self.inner.metrics.verdict(credential.form() == Ok(Form::Jwt), &verdict);
        verdict
    }

    /// Forgets the session with this id, for somebody who knows that it ended or changed. Whoever presents it next is
    /// judged by the source, which should know by then; an answer that is under way is not believed.
    pub fn revoke(&self, session_id: &str) {
        self.forget(session_id, |identity| identity.session.id == session_id);
    }

    /// Forgets all sessions of the user with this id. As [`revoke`](Self::revoke).
    pub fn revoke_user(&self, user_id: &str) {
        self.forget(user_id, |identity| identity.user.id == user_id);
    }

    fn forget(&self, id: &str, is_meant: impl Fn(&Identity) -> bool) {
        let forgotten = self.inner.cache.revoke(id, is_meant);
        (0..forgotten).for_each(|_| self.inner.metrics.revoked(By::Caller));
    }

    /// What the cache did and holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let statistics = self.inner.cache.statistics();
        self.inner.metrics.cached_sessions.set(statistics.total_cached_sessions as f64);
        statistics
    }
}

impl fmt::Debug for AuthBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthBridge").field("source", &self.inner.source.label()).finish_non_exhaustive()
    }
}

impl Inner {
    async fn judge(self: &Arc<Self>, credential: &Credential) -> Result<Arc<Identity>, Refusal> {
        let key = self.key(credential)?;
        match self.cache.recall(&key, &self.metrics) {
            Memory::Fresh(identity) => Ok(identity),
            Memory::Refused(reason) => Err(reason.into()),
            Memory::Stale(held) => self.refresh(key, credential, &held).await,
            Memory::Nothing => self.fill(key, credential).await,
        }
    }

    /// What the answer depends on.
    pub(crate) fn key(&self, credential: &Credential) -> Result<Key, Reason> {
        let (form, value) = (credential.form()?, credential.value());
        if form == Form::Jwt {
            self.verifier.as_ref().ok_or(Reason::Unsupported)?;
            return Ok(digest(&[b"jwt", value.as_bytes()]));
        }
        let (token, signed) = self.check_signature(form, value)?;
        // An unchecked signature decides in the source, so it must decide in the cache as well. Where it does not
        // decide, it must not make a second entry: one valid token could fill the cache.
        let signature = signed.as_deref().filter(|_| self.source.reads_signature() && self.signer.is_none());
        Ok(digest(&[
            b"session",
            credential.carrier().cookie_name().unwrap_or_default().as_bytes(),
            token.as_bytes(),
            signature.unwrap_or_default().as_bytes(),
        ]))
    }

    /// A new answer, or what was known before if that takes long or says nothing. However long it takes, it comes
    /// into the cache, and nobody else waits for it.
    async fn refresh(
        self: &Arc<Self>,
        key: Key,
        credential: &Credential,
        held: &Arc<Held>,
    ) -> Result<Arc<Identity>, Refusal> {
        let waited = self.cache.flights.age(&key).unwrap_or_default();
        let cause = if waited < PATIENCE {
            let (bridge, credential) = (Arc::clone(self), credential.clone());
            let filling = tokio::spawn(async move { bridge.fill(key, &credential).await });
            match timeout(PATIENCE.saturating_sub(waited), filling).await {
                Ok(Ok(Err(Refusal::Unknown(cause)))) => cause,
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) | Err(_) => Cause::new("the source takes long"),
            }
        } else {
            Cause::new("the source takes long")
        };
        if !self.cache.still_holds(&key, held) {
            return Err(cause.into());
        }
        self.metrics.stale.increment(1);
        Ok(Arc::clone(&held.identity))
    }

    async fn fill(&self, key: Key, credential: &Credential) -> Result<Arc<Identity>, Refusal> {
        let is_jwt = credential.form() == Ok(Form::Jwt);
        self.cache.fill(key, is_jwt, &self.metrics, || self.look_up(credential)).await
    }

    async fn look_up(&self, credential: &Credential) -> Result<Arc<Identity>, Refusal> {
        let checked = self.check(credential).await?;
        live(self.ask(self.find(checked, credential)).await?)
    }

    /// What can be found out without the source.
    pub(crate) async fn check<'a>(&self, credential: &'a Credential) -> Result<Checked<'a>, Refusal> {
        let (form, value) = (credential.form()?, credential.value());
        if form == Form::Jwt {
            let verifier = self.verifier.as_deref().ok_or(Reason::Unsupported)?;
            return Ok(Checked::Jwt(verifier.verify(value).await?));
        }
        let (token, signed) = self.check_signature(form, value)?;
        Ok(Checked::Session { token, signed })
    }

    /// What the source says of it.
    pub(crate) async fn find(&self, checked: Checked<'_>, credential: &Credential) -> Result<Identity, Refusal> {
        match checked {
            Checked::Jwt(Subject { user_id, session }) => {
                let users = self.source.users().ok_or(Reason::Unsupported)?;
                let Person { user, workspaces } = users.user(&user_id).await?;
                Ok(Identity { user, session, workspaces })
            }
            Checked::Session { token, signed } => {
                let (carrier, client) = (credential.carrier(), credential.client());
                let question = SessionToken { token, signed: signed.as_deref(), carrier, client };
                self.source.session(question).await
            }
        }
    }

    /// The source's answer, unless it has not answered lately.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        if !self.breaker.admits() {
            return Err(Cause::new("the source has not answered lately").into());
        }
        let asked = Instant::now();
        let answer = question.await;
        self.breaker.learn(asked, &answer);
        answer
    }

    /// The token, and its signed form where there is one or the source needs one.
    fn check_signature<'a>(&self, form: Form, value: &'a str) -> Result<(&'a str, Option<Cow<'a, str>>), Reason> {
        match (form, &self.signer) {
            (Form::Signed(length), signer) => {
                let (token, signature) = (&value[..length], &value[length + 1..]);
                if signer.as_ref().is_some_and(|signer| !signer.verifies(token, signature)) {
                    return Err(Reason::BadSignature);
                }
                Ok((token, Some(value.into())))
            }
            (_, _) if !self.source.reads_signature() => Ok((value, None)),
            (_, Some(signer)) => Ok((value, Some(signer.sign(value).into()))),
            (_, None) => Err(Reason::Unsupported),
        }
    }
}

fn live(identity: Identity) -> Result<Arc<Identity>, Refusal> {
    if cache::is_live(&identity, Utc::now()) { Ok(Arc::new(identity)) } else { Err(Reason::Expired.into()) }
}

/// None of the parts can contain the separator.
fn digest(parts: &[&[u8]]) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().into()
}
