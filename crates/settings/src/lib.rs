//! Settings from the process environment and an optional `.env` file.
//!
//! A crate declares each of its variables once, as a [`Variable`], and reads them into its own plain
//! `Config`. Nothing stops at the first mistake: [`Settings`] collects every problem, and
//! [`Settings::finish`] returns them together.
//!
//! ```
//! use std::time::Duration;
//! use parlant_settings::{Settings, Variable};
//!
//! const POOL_SIZE: Variable = Variable::new("DATABASE_POOL_SIZE", "Connections kept warm").default("10");
//! const POOL_TIMEOUT: Variable =
//!     Variable::new("DATABASE_POOL_TIMEOUT", "Longest wait for a connection").default("5s");
//!
//! let mut settings = Settings::from_pairs([("DATABASE_POOL_SIZE", "4")]);
//! assert_eq!(settings.value::<usize>(&POOL_SIZE), 4);
//! assert_eq!(settings.value::<Duration>(&POOL_TIMEOUT), Duration::from_secs(5));
//! settings.finish().unwrap();
//! ```
//!
//! # Rules
//! - The process environment wins over `.env`.
//! - An empty value counts as unset.
//! - `NAME_FILE` names a file whose trimmed content is the value, for every variable marked
//!   [`secret`](Variable::secret); `NAME` and `NAME_FILE` together are a problem.
//! - An alias is another name for the same variable; names that disagree are a problem.
//! - A new type of value implements [`FromSetting`].

mod parse;
mod problem;
mod settings;
mod variable;

pub use parse::FromSetting;
pub use problem::{Problem, Problems};
pub use secrecy::{ExposeSecret, SecretString as Secret};
pub use settings::{Effective, Settings};
pub use variable::Variable;
