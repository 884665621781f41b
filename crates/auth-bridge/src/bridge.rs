//! Credential in, verdict out.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use chrono::Utc;
use sha2::{Digest as _, Sha256};

use crate::cache::{self, Cache, Key};
use crate::credential::Form;
use crate::metrics::Metrics;
use crate::signature::Signer;
use crate::{
    Config, ConfigError, Credential, Identity, Reason, Refusal, SessionToken, Source, Statistics, Verdict, Verifier,
};

/// Judges credentials. Cheap to clone; all clones share one cache.
#[derive(Clone)]
pub struct AuthBridge {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn Source>,
    verifier: Option<Arc<dyn Verifier>>,
    signer: Option<Signer>,
    cache: Cache,
    metrics: Metrics,
}

impl AuthBridge {
    /// A bridge for session tokens. Install the metrics recorder first.
    ///
    /// # Errors
    /// When the secret cannot be Sim's.
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
        let cache = Cache::new(config);
        Ok(Self { inner: Arc::new(Inner { source, verifier, signer, cache, metrics }) })
    }

    /// Who presents this credential. Forms that nobody here can check and forged signatures are refused without
    /// asking anybody; everything else is answered by the cache or by the source.
    pub async fn authenticate(&self, credential: &Credential) -> Verdict {
        let verdict = Verdict::from(self.inner.judge(credential).await);
        self.inner.metrics.verdict(credential.form() == Ok(Form::Jwt), &verdict);
        verdict
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
    async fn judge(&self, credential: &Credential) -> Result<Arc<Identity>, Refusal> {
        let form = credential.form()?;
        let value = credential.value();
        if form == Form::Jwt {
            let verifier = self.verifier.as_deref().ok_or(Reason::Unsupported)?;
            let load = self.jwt(verifier, value);
            return self.cache.get_or_load(key(&[b"jwt", value.as_bytes()]), &self.metrics, load).await;
        }
        let (token, signed) = self.check_signature(form, value)?;
        let carrier = credential.carrier();
        // An unchecked signature decides in the source, so it must decide in the cache as well. Where it does not
        // decide, it must not make a second entry: one valid token could fill the cache.
        let signature = signed.as_deref().filter(|_| self.source.reads_signature() && self.signer.is_none());
        let key = key(&[
            b"session",
            carrier.cookie_name().unwrap_or_default().as_bytes(),
            token.as_bytes(),
            signature.unwrap_or_default().as_bytes(),
        ]);
        let question = SessionToken { token, signed: signed.as_deref(), carrier, client: credential.client() };
        let load = async { live(self.source.session(question).await?) };
        self.cache.get_or_load(key, &self.metrics, load).await
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

    async fn jwt(&self, verifier: &dyn Verifier, token: &str) -> Result<Arc<Identity>, Refusal> {
        let subject = verifier.verify(token).await?;
        let users = self.source.users().ok_or(Reason::Unsupported)?;
        let person = users.user(&subject.user_id).await?;
        live(Identity { user: person.user, session: subject.session, workspaces: person.workspaces })
    }
}

fn live(identity: Identity) -> Result<Arc<Identity>, Refusal> {
    if cache::is_live(&identity, Utc::now()) { Ok(Arc::new(identity)) } else { Err(Reason::Expired.into()) }
}

/// None of the parts can contain the separator.
fn key(parts: &[&[u8]]) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().into()
}
