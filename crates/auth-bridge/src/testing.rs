//! For those who test what they build on the bridge: a [`MemorySource`], and [`accept`], the suite that every source
//! must pass, theirs too.
//!
//! ```
//! use std::sync::Arc;
//! use parlant_auth_bridge::testing::{MemorySource, somebody};
//! use parlant_auth_bridge::{AuthBridge, Config, Credential, Verdict};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let source = Arc::new(MemorySource::default());
//! let bridge = AuthBridge::new(&Config { caching: false, ..Config::default() }, source.clone())?;
//! source.sign_in("letmein", somebody("ada"));
//! assert!(matches!(bridge.authenticate(&Credential::from_bearer("letmein")).await, Verdict::Valid(_)));
//! source.set_down(true);
//! assert!(matches!(bridge.authenticate(&Credential::from_bearer("letmein")).await, Verdict::Unknown(_)));
//! # Ok::<(), parlant_auth_bridge::ConfigError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod memory;
mod suite;

use chrono::{SubsecRound as _, TimeDelta, Utc};

pub use self::memory::MemorySource;
pub use self::suite::{Store, accept};
use crate::{Identity, Permission, Session, User, Workspace};

/// Somebody with that id, signed in for an hour, who may write in a workspace and read in another. Everything else is
/// named after the id.
#[must_use]
pub fn somebody(id: &str) -> Identity {
    let workspace =
        |name: &str, permission| Workspace { id: format!("{id}-{name}"), name: name.to_owned(), permission };
    Identity {
        user: User {
            id: id.to_owned(),
            email: format!("{id}@example.com"),
            name: format!("Name of {id}"),
            email_verified: true,
            image: None,
        },
        session: Session {
            id: format!("{id}-session"),
            expires_at: Utc::now().trunc_subsecs(0) + TimeDelta::hours(1),
            active_organization_id: None,
            impersonated_by: None,
        },
        workspaces: vec![workspace("Desk", Permission::Write), workspace("Shelf", Permission::Read)],
    }
}
