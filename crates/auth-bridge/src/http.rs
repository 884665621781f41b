//! Sim's `get-session`, asked with the caller's own session cookie.
//!
//! What Sim does, and what is made of it (seen on better-auth 1.6.23 with Sim's options):
//!
//! - `get-session` answers 200 with the session, or 200 with `null`: signed out, and just the same when its database
//!   cannot be reached. So does every route behind a session: they answer 401 for both. A `null` is therefore
//!   believed only after another route proved that the database answers, and a second question was answered `null`
//!   again. That route is `one-time-token/verify` with a token that cannot exist, which needs no session: 400
//!   "Invalid token" when it was looked up, 500 when it could not be. An outage that begins or ends between the
//!   questions is thus an outage or a good answer, not a sign-out.
//! - Sim reads the cookie under the name that its own public address gives, `__Secure-` for https. A cookie is handed
//!   on under the name it came with. A bearer token came without one, and the address asked here (inside a cluster,
//!   say) need not be the public one, so it goes under both; Sim ignores the other.
//! - Only the session cookie is handed on: with `session_data` a revoked session would stay valid for minutes.
//! - `disableRefresh` keeps `get-session` from prolonging the session. The list of workspaces takes no such wish: asking
//!   for it prolongs a session that is older than a day, as every page of Sim's does.
//! - One outage is taken for a sign-out: when `session` alone cannot be read and `verification` can, both questions are
//!   answered `null` and the proof succeeds. No route tells them apart; the source `database` does.
//! - Sim limits requests per client address, so the client's address is handed on. While it says 429 to one, that one's
//!   questions are not asked.

mod wire;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::Utc;
use moka::sync::Cache;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::fetch::{self, FetchError};
use crate::{Answer, Carrier, Cause, ConfigError, Identity, Reason, Refusal, SessionToken, Source, Workspace};

/// How many clients are remembered whom Sim told to wait.
const LIMITED_CLIENTS: u64 = 10_000;
/// A session and its user.
const SESSION_LIMIT: usize = 64 * 1024;
/// Every workspace with all its columns: about 1 KiB each.
const WORKSPACES_LIMIT: usize = 4 * 1024 * 1024;
/// A token that Better Auth cannot have made: its own have 32 characters.
const NO_TOKEN: &str = r#"{"token":"parlant"}"#;

/// As JavaScript's `encodeURIComponent`, of the characters that occur here.
const COOKIE_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Where Sim is.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Sim's address (`SIM_BASE_URL`): http or https, a path in front is kept.
    pub base_url: String,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one credential may take, all its questions together.
    pub timeout: Duration,
}

impl HttpConfig {
    /// Sim at that address, with 2 s to connect and 5 s in all.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), connect_timeout: Duration::from_secs(2), timeout: Duration::from_secs(5) }
    }
}

/// Asks Sim over HTTP. It finds sessions only, not users, so it serves no JWTs.
pub struct HttpSource {
    client: Client,
    timeout: Duration,
    get_session: Url,
    verify_token: Url,
    workspaces: Url,
    /// Until when not to ask on behalf of a client; those whose address is unknown are one.
    limited: Cache<Option<IpAddr>, Instant>,
}

impl HttpSource {
    /// A source that asks Sim at the configured address. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or this machine has no root certificates to check servers with.
    pub fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let base = base_url(&config.base_url)?;
        let route = |path: &str| base.join(path).map_err(|_| ConfigError::BaseUrl);
        Ok(Self {
            client: fetch::client(config.connect_timeout).map_err(ConfigError::HttpClient)?,
            timeout: config.timeout,
            get_session: route("api/auth/get-session?disableCookieCache=true&disableRefresh=true")?,
            verify_token: route("api/auth/one-time-token/verify")?,
            workspaces: route("api/workspaces?scope=all")?,
            limited: Cache::new(LIMITED_CLIENTS),
        })
    }
}

impl Source for HttpSource {
    fn label(&self) -> &'static str {
        "http"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        Box::pin(async move {
            let wait = self.limited.get(&token.client).map(|until| until.saturating_duration_since(Instant::now()));
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                let cause = Cause::new("Sim limits the rate of this client").as_answer();
                return Err(cause.with_retry_after(wait).into());
            }
            let answer = Inquiry::new(self, token)?.identity().await;
            if let Err(Refusal::Unknown(cause)) = &answer
                && let Some(wait) = cause.retry_after()
            {
                self.limited.insert(token.client, Instant::now() + wait);
            }
            answer
        })
    }

    fn reads_signature(&self) -> bool {
        true
    }
}

/// The questions about one credential.
struct Inquiry<'a> {
    sim: &'a HttpSource,
    cookie: HeaderValue,
    client: Option<IpAddr>,
    deadline: Instant,
}

impl<'a> Inquiry<'a> {
    fn new(sim: &'a HttpSource, token: SessionToken<'_>) -> Result<Self, Reason> {
        let deadline = Instant::now() + sim.timeout;
        Ok(Self { sim, cookie: cookie(token)?, client: token.client, deadline })
    }

    async fn identity(&self) -> Result<Identity, Refusal> {
        let answer = if let Some(answer) = self.session().await? {
            answer
        } else {
            self.prove_database().await?;
            self.session().await?.ok_or(Reason::UnknownSession)?
        };
        if answer.user.is_banned(Utc::now()) {
            return Err(Reason::Banned.into());
        }
        Ok(answer.into_identity(self.workspaces().await?))
    }

    async fn session(&self) -> Result<Option<wire::SessionAnswer>, Cause> {
        let answer = self.get(&self.sim.get_session, SESSION_LIMIT).await;
        answer.map_err(|error| error.cause("Sim's get-session"))
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, Cause> {
        let answer: Result<wire::WorkspacesAnswer, _> = self.get(&self.sim.workspaces, WORKSPACES_LIMIT).await;
        answer.map(wire::WorkspacesAnswer::into_workspaces).map_err(|error| error.cause("Sim's list of workspaces"))
    }

    /// Succeeds when Sim's database answered. No cookie goes with it: with one, Sim would want an `Origin` as well.
    async fn prove_database(&self) -> Result<(), Cause> {
        let sim = self.sim;
        let request = sim.client.post(sim.verify_token.clone()).header(CONTENT_TYPE, "application/json").body(NO_TOKEN);
        let (status, body) = fetch::send(self.on_behalf(request), self.left(), SESSION_LIMIT)
            .await
            .map_err(|error| error.cause("Sim answered null, and then"))?;
        if status.code == StatusCode::BAD_REQUEST && wire::says_invalid_token(&body) {
            return Ok(());
        }
        Err(FetchError::Status(status).cause("Sim answered null, and cannot ask its database"))
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url, limit: usize) -> Result<T, FetchError> {
        let request = self.sim.client.get(url.clone()).header(COOKIE, &self.cookie);
        let body = fetch::send_for_ok(self.on_behalf(request), self.left(), limit).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn on_behalf(&self, request: RequestBuilder) -> RequestBuilder {
        match self.client {
            Some(address) => request.header("x-forwarded-for", address.to_string()),
            None => request,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn cookie(token: SessionToken<'_>) -> Result<HeaderValue, Reason> {
    let value = utf8_percent_encode(token.signed.ok_or(Reason::Unsupported)?, COOKIE_VALUE).to_string();
    let carriers = match token.carrier {
        Carrier::Bearer => &[Carrier::SecureCookie, Carrier::Cookie][..],
        Carrier::SecureCookie => &[Carrier::SecureCookie],
        Carrier::Cookie => &[Carrier::Cookie],
    };
    let pairs: Vec<_> =
        carriers.iter().filter_map(|carrier| carrier.cookie_name()).map(|name| format!("{name}={value}")).collect();
    let mut header = HeaderValue::try_from(pairs.join("; ")).map_err(|_| Reason::Malformed)?;
    header.set_sensitive(true);
    Ok(header)
}

/// The address as a folder, so that routes are appended to it.
fn base_url(text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).map_err(|_| ConfigError::BaseUrl)?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain && url.password().is_none() {
        Ok(url)
    } else {
        Err(ConfigError::BaseUrl)
    }
}
