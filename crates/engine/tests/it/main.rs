//! The crate as others use it, with the engine within the process and with servers that are none.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

#[path = "../contract/mod.rs"]
mod contract;
mod failures;
mod strangers;

use std::sync::Arc;
use std::time::Duration;

use contract::Peer;
use parlant_engine::Engine;
use parlant_engine::echo::{Echo, PREFIX};

/// The engine within the process, for the contract. It runs as long as the peer is there.
async fn echo() -> Peer {
    let echo = Arc::new(Echo::start().unwrap());
    let engine = Engine::new(&echo.config()).unwrap();
    let (failing, slow) = (Arc::clone(&echo), Arc::clone(&echo));
    Peer {
        engine,
        base_url: echo.config().base_url,
        version: "echo",
        prefix: PREFIX,
        fail: Box::new(move |text| {
            failing.fail_turns(1);
            text.to_owned()
        }),
        slow_down: Box::new(move || slow.pause(Duration::from_millis(300))),
    }
}

contract::contract!(echo);
