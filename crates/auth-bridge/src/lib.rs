#![doc = include_str!("../README.md")]

#[cfg(feature = "actix")]
pub mod actix;
mod breaker;
mod bridge;
mod cache;
mod config;
mod credential;
#[cfg(feature = "postgres")]
mod database;
mod error;
mod explain;
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
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod verdict;
mod watch;
#[cfg(any(feature = "actix", feature = "tower"))]
mod web;

#[cfg(feature = "http")]
pub use self::http::{HttpConfig, HttpSource};
pub use bridge::AuthBridge;
pub use cache::Statistics;
pub use config::Config;
pub use credential::{Carrier, ClientAddress, Credential};
#[cfg(feature = "postgres")]
pub use database::{Database, DatabaseSource, Grants, Rows, Statement};
pub use error::ConfigError;
pub use explain::{Explanation, Outcome, Step};
pub use identity::{Identity, Permission, Session, User, Workspace};
#[cfg(feature = "jwt")]
pub use jwt::{JwtAlgorithm, JwtConfig, JwtKey, JwtVerifier, LEEWAY as JWT_LEEWAY};
pub use source::{Answer, Found, Person, Recheck, SessionToken, Source, Subject, Users, Verifier};
pub use verdict::{Cause, Reason, Refusal, Verdict};
pub use watch::SessionWatch;
