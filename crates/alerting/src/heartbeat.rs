use parlant_settings::Secret;

use crate::endpoint::Endpoint;
use crate::{SendError, WebhookError};

/// The address of somebody who calls people when he is no longer called: a process cannot tell of its own death.
///
/// Neither `Debug` nor any error shows the URL.
#[derive(Debug, Clone)]
pub struct Heartbeat(Endpoint);

impl Heartbeat {
    /// # Errors
    /// When `url` is not an `https://` URL (`http://` is for loopback only), or TLS is not to be had.
    pub fn new(url: Secret) -> Result<Self, WebhookError> {
        Endpoint::new(url).map(Self)
    }

    /// Says that all is well with this process: a GET, once.
    ///
    /// # Errors
    /// When it was not heard.
    pub async fn beat(&self) -> Result<(), SendError> {
        self.0.get().await
    }
}
