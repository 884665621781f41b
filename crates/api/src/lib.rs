//! Everything of the bridge that knows HTTP: routes, extractors, errors, and what happens around a request.
//!
//! [`serve`] runs the whole application on a socket that the program has bound; [`app()`] is the same application
//! without sockets. Both work with the [`State`] that they are given; nothing here is global but the metrics
//! recorder and the log, which the program installs first.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use parlant_api::{Config, RateLimits, Readiness, Scrape, State, serve};
//!
//! # async fn example(
//! #     settings: &mut parlant_settings::Settings,
//! #     auth: parlant_auth_bridge::AuthBridge,
//! #     conversations: parlant_conversations::Conversations,
//! #     exporter: parlant_metrics::Exporter,
//! #     health: parlant_health::Monitor,
//! #     stop: impl Future<Output = ()> + Send + 'static,
//! # ) -> std::io::Result<()> {
//! let config = Config::from_settings(settings);
//! let readiness = Readiness::new();
//! tokio::spawn(health.clone().run());
//! let scrape = Scrape { exporter, token: config.metrics_token.clone() };
//! let state = State {
//!     auth,
//!     conversations,
//!     health,
//!     readiness: readiness.clone(),
//!     metrics: config.metrics_enabled.then_some(scrape),
//!     chat: None,
//!     trusted_proxies: config.trusted_proxies.clone(),
//!     rate_limits: config.rate_limit.map(RateLimits::new),
//! };
//! let server = serve(TcpListener::bind(config.address)?, &config, state, |_| {})?;
//! let handle = server.handle();
//! tokio::spawn(async move {
//!     stop.await;
//!     readiness.drain();
//!     handle.stop(true).await;
//! });
//! server.await
//! # }
//! ```
//!
//! # A request's way
//! The path loses its trailing slash. The request middleware opens the span that every line of the log stands in,
//! and counts and logs the end, whether that is the last byte, a hang-up or a panic. CORS, if any origin is allowed.
//! The router finds the [`Endpoint`], which names the route for the log and the metrics and counts the request against
//! the caller's limit ([`RateLimits`]). The extractors find out who
//! calls ([`FromCaller`]) and only then read what was sent ([`Json`]). The handler asks for the permission that it
//! needs ([`WorkspaceAccess`]) and then calls the domain. What goes wrong anywhere is an [`ApiError`], and the
//! middleware makes the envelope of it.
//!
//! # To extend
//! - A route is a handler in the file of its noun under `src/routes/`, mounted by an [`Endpoint`]. What it does with a
//!   workspace takes an `Actor`, and the ways to one are [`Authenticated::access`] and [`Authenticated::everywhere`].
//!   The tests under `tests/it/` hold every route to the same table of bad input.
//! - A failure is a variant of [`ApiError`] with its status, code and sentence in the one table there. The sentence is
//!   fixed; what varies goes into `details` and may hold only what the client already knows.
//! - A field of a request is a field of the struct that it is read into; what it may hold is the domain's to say.
//! - A program that answers more mounts [`Endpoint`]s of its own by the last argument of [`serve`].

mod app;
mod client;
mod config;
mod cors;
mod endpoint;
mod error;
mod extract;
mod field_errors;
pub mod metrics;
mod middleware;
mod openapi;
mod rate_limit;
mod readiness;
mod routes;
mod server;
mod stop;

pub use actix_web::dev::Server;
pub use app::{State, app};
pub use client::TrustedProxies;
pub use config::{Config, HOST, PORT, RATE_LIMIT_BURST, RATE_LIMIT_INVALID_TOKENS, RATE_LIMIT_PER_MINUTE, VARIABLES};
pub use endpoint::Endpoint;
pub use error::{ApiError, BoxError};
pub use extract::{
    Admin, Authenticated, BODY_LIMIT, FromCaller, Json, Level, MaybeAuthenticated, Read, WorkspaceAccess, Write,
};
pub use field_errors::FieldErrors;
pub use openapi::openapi;
pub use rate_limit::{RateLimit, RateLimits, Standing};
pub use readiness::Readiness;
pub use routes::{Chat, Scrape};
pub use server::{serve, serve_metrics};
pub use stop::stop;
