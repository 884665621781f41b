//! Admits Sim's users.
//!
//! A request presents a [`Credential`]: Better Auth's signed cookie, the same as a bearer token, the raw token of a
//! session, or a JWT. An [`AuthBridge`] turns it into a [`Verdict`]: valid, with the [`Identity`] and its workspaces;
//! invalid; or unknown, when the source could not be asked. The core does no I/O and reads no environment; what asks
//! is behind a feature each:
//!
//! | feature | brings |
//! | --- | --- |
//! | `postgres` | `DatabaseSource`: Sim's own tables, read-only |
//! | `http` | `HttpSource`: Sim's `get-session`, asked with the caller's cookie |
//! | `jwt` | `JwtVerifier`: JWTs by secret, public key or JWKS; users from the database |
//! | `fixture` | Sim's tables and a demo user, for development servers and tests |
//!
//! ```
//! use std::sync::Arc;
//! use chrono::{TimeDelta, Utc};
//! use parlant_auth_bridge::{
//!     Answer, AuthBridge, Config, Credential, Identity, Permission, Reason, Session, SessionToken, Source, User,
//!     Verdict, Workspace,
//! };
//!
//! /// A house with one guest.
//! struct OneGuest;
//!
//! impl Source for OneGuest {
//!     fn label(&self) -> &'static str {
//!         "one_guest"
//!     }
//!
//!     fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
//!         Box::pin(async move {
//!             if token.token != "letmein" {
//!                 return Err(Reason::UnknownSession.into());
//!             }
//!             Ok(Identity {
//!                 user: User {
//!                     id: "u1".into(),
//!                     email: "ada@example.com".into(),
//!                     name: "Ada".into(),
//!                     email_verified: true,
//!                     image: None,
//!                 },
//!                 session: Session {
//!                     id: "s1".into(),
//!                     expires_at: Utc::now() + TimeDelta::hours(1),
//!                     active_organization_id: None,
//!                     impersonated_by: None,
//!                 },
//!                 workspaces: vec![Workspace { id: "w1".into(), name: "Lab".into(), permission: Permission::Write }],
//!             })
//!         })
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let bridge = AuthBridge::new(&Config::default(), Arc::new(OneGuest))?;
//! match bridge.authenticate(&Credential::from_bearer("letmein")).await {
//!     Verdict::Valid(identity) => assert!(identity.permission("w1") >= Some(Permission::Read)),
//!     Verdict::Invalid(reason) => panic!("{reason}: answer 401"),
//!     Verdict::Unknown(cause) => panic!("{cause}: answer 503"),
//! }
//! # Ok::<(), parlant_auth_bridge::ConfigError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A session is remembered, and yet it ends here when it ends in Sim: a source that can be asked about many at once (as
//! `DatabaseSource` can) is asked about all sessions in use each second, and none is served that was not vouched for
//! within two. [`AuthBridge::revoke`] and [`AuthBridge::revoke_user`] are for those who know earlier,
//! [`AuthBridge::watch`] for connections that outlive their request. While the source cannot be asked, it is asked
//! rarely, and who was valid stays so for [`Config::stale_if_error`]. Nothing needs to be told to other processes that
//! do the same.
//!
//! To extend: a new place where sessions live is a [`Source`]; a new kind of service token is a [`Verifier`]; a new
//! reason for refusing is a variant of [`Reason`] (and of its `ALL`).

mod breaker;
mod bridge;
mod cache;
mod config;
mod credential;
#[cfg(feature = "postgres")]
mod database;
mod error;
#[cfg(any(feature = "http", feature = "jwt"))]
mod fetch;
#[cfg(feature = "fixture")]
pub mod fixture;
mod flight;
#[cfg(feature = "http")]
mod http;
mod identity;
#[cfg(feature = "jwt")]
mod jwt;
pub mod metrics;
mod revalidate;
mod revocation;
mod signature;
mod source;
mod verdict;
mod watch;

pub use bridge::AuthBridge;
pub use cache::Statistics;
pub use config::Config;
pub use credential::{Carrier, ClientAddress, Credential};
#[cfg(feature = "postgres")]
pub use database::DatabaseSource;
pub use error::ConfigError;
#[cfg(feature = "http")]
pub use http::{HttpConfig, HttpSource};
pub use identity::{Identity, Permission, Session, User, Workspace};
#[cfg(feature = "jwt")]
pub use jwt::{JwtAlgorithm, JwtConfig, JwtKey, JwtVerifier, LEEWAY as JWT_LEEWAY};
pub use source::{Answer, Found, Person, Recheck, SessionToken, Source, Subject, Users, Verifier};
pub use verdict::{Cause, Reason, Refusal, Verdict};
pub use watch::SessionWatch;
