//! Who is admitted, as the environment says. `parlant-auth-bridge` knows nothing of this house; here are its settings, and
//! the house's pool as it reads Sim's tables, for every program that has to judge a credential as the server does.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use parlant_admission::{Auth, Sessions, SimTables};
//! use parlant_auth_bridge::{AuthBridge, DatabaseSource};
//! use parlant_db_pool::{Config, Pool};
//! use parlant_settings::Settings;
//!
//! # fn start() -> Result<AuthBridge, Box<dyn std::error::Error>> {
//! let mut settings = Settings::from_process();
//! let database = Config::from_settings(&mut settings);
//! let auth = Auth::from_settings(&mut settings, &database);
//! settings.finish()?;
//! let Sessions::Database(elsewhere) = &auth.sessions else { return Err("not from Sim's tables".into()) };
//! let pool = Pool::new(elsewhere.as_deref().unwrap_or(&database))?;
//! Ok(auth.bridge(Arc::new(DatabaseSource::new(SimTables(pool))))?)
//! # }
//! ```
//!
//! # How to extend
//! A setting is a [`Variable`](parlant_settings::Variable) in `auth.rs`, an entry of [`VARIABLES`] and a field of the auth
//! bridge's own configuration. Another source of sessions is a variant of [`Sessions`].

mod auth;
mod sim_tables;

pub use auth::{Auth, BETTER_AUTH_SECRET, SIM_BASE_URL, SIM_DATABASE_URL, SOURCE, Sessions, VARIABLES};
pub use sim_tables::SimTables;
