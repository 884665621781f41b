//! A page of 100 agents, from a warm pool to the bytes of its JSON.
#![expect(clippy::expect_used, reason = "a failed assumption is a failed benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use parlant_auth_bridge::Permission;
use parlant_conversations::{Actor, Conversations, Limits, ListAgents, MAX_PAGE, NewAgent};
use parlant_db_pool::{Config, Pool};

async fn prepare() -> (parlant_test_support::TestDatabase, Conversations) {
    let database = parlant_test_support::database().await;
    let pool = Pool::new(&Config::new(database.url())).expect("a pool");
    let conversations = Conversations::new(pool, Limits::default());
    let actor = Actor::new("user", [("workspace", Permission::Admin)]);
    for number in 0..MAX_PAGE {
        let agent = NewAgent {
            workspace_id: "workspace".into(),
            name: format!("Agent {number}"),
            description: Some("Answers questions about orders, invoices and returns.".into()),
            guidelines: (0..5)
                .map(|number| serde_json::json!({"condition": format!("Case {number}"), "action": "Answer in two sentences."}))
                .collect(),
            tools: vec!["search".into(), "calendar".into()],
            model: Some("small".into()),
            temperature: Some(0.2),
        };
        conversations.create_agent(&actor, agent).await.expect("an agent");
    }
    (database, conversations)
}

fn listing(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_database, conversations) = runtime.block_on(prepare());
    let one = Actor::new("user", [("workspace", Permission::Read)]);
    let several = Actor::new("user", ["a", "b", "workspace", "z"].map(|id| (id, Permission::Read)));
    for (name, actor) in [("one workspace", one), ("four workspaces", several)] {
        criterion.bench_function(&format!("100 agents of {name} to JSON"), |bencher| {
            bencher.to_async(&runtime).iter(async || {
                let list = ListAgents { workspace_id: None, cursor: None, limit: MAX_PAGE };
                let page = conversations.list_agents(&actor, list).await.expect("a page");
                serde_json::to_vec(&page.items).expect("JSON")
            });
        });
    }
}

criterion_group!(benches, listing);
criterion_main!(benches);
