//! A client of [Parlant](https://www.parlant.io), the engine that answers.
//!
//! Parlant knows no tenants and may lose everything when it restarts. So the bridge keeps the truth elsewhere, and this
//! crate makes Parlant follow it: [`Engine::synchronise`] makes an agent there what it is here, [`Engine::open`] makes
//! a twin of a session, with what was said before, and [`Error::NotFound`] says that it is time for both again.
//!
//! ```no_run
//! use std::time::Duration;
//! use parlant_engine::{AgentSpec, Config, Engine, Kind, Open, Status, customer_id};
//! use uuid::Uuid;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(&Config::new("http://127.0.0.1:8800"))?;
//! let guidelines = ["Answer in the language of the question.".into()];
//! let agent = AgentSpec { id: Uuid::now_v7(), name: "Help desk", description: None, guidelines: &guidelines };
//! engine.synchronise(&agent).await?;
//!
//! let customer_id = customer_id("workspace-1", "user-1");
//! let twin = engine.open(&Open { agent_id: agent.id, session_id: Uuid::now_v7(), customer_id, history: &[] }).await?;
//! let mut next = engine.say(&twin, Uuid::now_v7(), "Hello").await?.offset + 1;
//! 'turn: loop {
//!     for event in engine.events(&twin, next, Duration::from_secs(20)).await? {
//!         next = event.offset + 1;
//!         match event.kind {
//!             Kind::AgentMessage { text, .. } => println!("{text}"),
//!             Kind::Status(Status::Completed { .. }) => break 'turn,
//!             _ => {}
//!         }
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Rules
//! - Ids are ours wherever Parlant takes one: its own are made from content, and equal for equal content.
//! - Whatever belongs to an agent carries its tag. What carries none is everybody's in Parlant.
//! - Nothing of a caller's credentials goes there, and no text of Parlant's comes back but what the agent says: its
//!   errors hold tracebacks and the headers of requests.
//! - Answers are read leniently: what is new in them is passed over.
//! - What the caller must know of Parlant's ways is told at each operation. Where they were observed: version 3.3.2.
//!
//! # To extend
//! A new operation is a method of [`Engine`] in the file of its noun. It belongs into `tests/contract/`, which runs
//! against the real Parlant (`e2e/parlant/run`) and against `echo`, the engine within the process (feature `echo`),
//! so that the one stays a picture of the other.

mod agents;
mod client;
mod config;
#[cfg(feature = "echo")]
pub mod echo;
mod error;
mod events;
mod guideline;
pub mod metrics;
mod sessions;

pub use agents::AgentSpec;
pub use client::{Engine, Health, State};
pub use config::{BASE_URL, COMPOSITION_MODE, Config, TOKEN, VARIABLES};
pub use error::{Cause, ConfigError, Error};
pub use events::{Event, Kind, Status};
pub use sessions::{Delivered, Open, Said, customer_id};

use sha2::{Digest as _, Sha256};

/// A short id made of `parts`: 80 bits, as hexadecimal digits, which Parlant takes in paths and tags.
fn hashed<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(10).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
