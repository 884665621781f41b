//! The contract, asked of a real Parlant. `e2e/parlant/run` starts one and says where it is.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

#[path = "../contract/mod.rs"]
mod contract;

use contract::Peer;
use parlant_engine::{Config, Engine};

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
async fn parlant() -> Peer {
    let base_url = std::env::var("PARLANT_BASE_URL").expect("PARLANT_BASE_URL, as e2e/parlant/run sets it");
    let engine = Engine::new(&Config::new(&*base_url)).unwrap();
    Peer {
        engine,
        base_url,
        version: "3.3.2",
        prefix: "Stub reply to: ",
        fail: Box::new(|text| format!("{text} STUB_FAIL")),
        // It is slow enough.
        slow_down: Box::new(|| {}),
    }
}

contract::contract!(parlant);
