//! A webhook that takes JSON.

use std::collections::BTreeMap;

use parlant_settings::Secret;
use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::{Notification, Notifier, Sending, WebhookError};

/// Of the body: a field may be added under the same number, nothing else changes.
const VERSION: u32 = 1;

/// Posts notifications as JSON; any status 2xx means that it has them.
///
/// | field | |
/// | --- | --- |
/// | `version` | 1 |
/// | `id` | the same each time that the same news is sent: drop what you have seen |
/// | `status` | `firing`, `still_firing`, `resolved`, `test` |
/// | `alert`, `severity`, `labels` | which alert: the pair of `firing` and `resolved` agrees in all three |
/// | `title`, `message`, `fields` | for people |
/// | `runbook_url` | what to do; may be null |
/// | `at` | RFC 3339: when it happened, which may be long before it could be sent |
///
/// Neither `Debug` nor any error shows the URL.
#[derive(Debug, Clone)]
pub struct Webhook(Endpoint);

impl Webhook {
    /// # Errors
    /// When `url` is not an `https://` URL (`http://` is for loopback only), or TLS is not to be had.
    pub fn new(url: Secret) -> Result<Self, WebhookError> {
        Endpoint::new(url).map(Self)
    }

    /// What is posted for `notification`.
    #[must_use]
    pub fn payload(notification: &Notification) -> Value {
        let object = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        json!({
            "version": VERSION,
            "id": notification.id(),
            "status": notification.status,
            "alert": notification.key.alert,
            "severity": notification.key.severity,
            "labels": object(&notification.key.labels),
            "title": notification.title,
            "message": notification.message,
            "fields": object(&notification.fields),
            "runbook_url": notification.runbook_url,
            "at": notification.at,
        })
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async move { self.0.post(&Self::payload(notification)).await })
    }
}
