use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

use crate::cache::is_live;
use crate::revocation::Stamp;
use crate::{AuthBridge, Credential, Identity, Refusal, Verdict};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Follows a session for a connection that outlives the request that it began with. Made by
/// [`AuthBridge::watch`].
///
/// It tells of an end or change at once when this process learns of it (revocation, ban and everything else that
/// revalidation finds), at the second of the session's expiry, and otherwise looks as a request would every 5 s or
/// sooner. So it ends 5 s after a request would be refused at the latest, whatever the source: with `DatabaseSource`
/// within about `revalidate_interval`, with `HttpSource` within `cache_ttl` and 5 s. It costs a timer and a copy of
/// the credential.
pub struct SessionWatch {
    bridge: AuthBridge,
    credential: Credential,
    identity: Arc<Identity>,
    revocations: [Receiver<Stamp>; 2],
    /// When the source last vouched for it.
    vouched: Instant,
}

impl AuthBridge {
    /// Follows the session of a credential.
    ///
    /// # Errors
    /// When the credential is not valid now.
    pub async fn watch(&self, credential: Credential) -> Result<SessionWatch, Refusal> {
        let vouched = Instant::now();
        let identity = match self.authenticate(&credential).await {
            Verdict::Valid(identity) => identity,
            Verdict::Invalid(reason) => return Err(reason.into()),
            Verdict::Unknown(cause) => return Err(cause.into()),
        };
        let revocations = self.inner.cache.revocations.subscribe(&identity);
        let mut watch = SessionWatch { bridge: self.clone(), credential, identity, revocations, vouched };
        // It may have been revoked before there was a subscription.
        watch.revocations.iter_mut().for_each(Receiver::mark_changed);
        Ok(watch)
    }
}

impl SessionWatch {
    /// Who it is, and what that person may do, as last seen.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Waits until something about the user or the workspaces changes, and tells what they are then. It may be
    /// dropped and called again.
    ///
    /// # Errors
    /// The end of the session; [`Refusal::Unknown`] when nobody could vouch for it for `stale_if_error`.
    pub async fn changed(&mut self) -> Result<Arc<Identity>, Refusal> {
        loop {
            self.wait().await;
            let asked = Instant::now();
            match self.bridge.authenticate(&self.credential).await {
                Verdict::Valid(identity) => {
                    self.vouched = asked;
                    if *identity != *self.identity {
                        self.identity = Arc::clone(&identity);
                        return Ok(identity);
                    }
                }
                Verdict::Invalid(reason) => return Err(reason.into()),
                Verdict::Unknown(_)
                    if is_live(&self.identity, Utc::now())
                        && self.vouched.elapsed() < self.bridge.inner.stale_if_error => {}
                Verdict::Unknown(cause) => return Err(cause.into()),
            }
        }
    }

    /// Waits for the end of the session and says why.
    pub async fn ended(mut self) -> Refusal {
        loop {
            if let Err(end) = self.changed().await {
                return end;
            }
        }
    }

    /// Until it is time to look.
    async fn wait(&mut self) {
        let left = (self.identity.session.expires_at - Utc::now()).to_std().unwrap_or_default();
        let [session, user] = &mut self.revocations;
        let look = self.bridge.inner.cache.believed.min(LOOK).min(left);
        let woken = async {
            tokio::select! {
                woken = session.changed() => woken,
                woken = user.changed() => woken,
            }
        };
        let _ = timeout(look, woken).await;
    }
}
