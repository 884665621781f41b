//! What the bridge relies on, asked of the engine within the process (`tests/it`) and of the real Parlant
//! (`tests/parlant`): the same questions, so that the one stays a picture of the other.

pub(crate) mod agents;
pub(crate) mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlant_engine::{AgentSpec, Engine, Event, Kind, Open, Status, customer_id};
use serde_json::{Value, json};
use uuid::Uuid;

/// An engine, and what is particular about it.
pub(crate) struct Peer {
    pub(crate) engine: Engine,
    pub(crate) base_url: String,
    pub(crate) version: &'static str,
    /// What comes before the customer's words in an answer.
    pub(crate) prefix: &'static str,
    /// Lets the next turn of this message fail.
    pub(crate) fail: Box<dyn Fn(&str) -> String + Send + Sync>,
    /// Lets turns take long enough to be disturbed.
    pub(crate) slow_down: Box<dyn Fn() + Send + Sync>,
}

/// Every question of the contract as a test of the engine that `$peer` gives.
macro_rules! contract {
    ($peer:ident) => {
        contract::contract! { $peer:
            agents::a_new_agent_has_our_id_and_its_guidelines_are_its_own,
            agents::synchronising_again_changes_nothing,
            agents::every_change_is_followed,
            agents::a_long_name_is_cut_to_what_the_engine_takes,
            agents::what_was_done_by_hand_is_put_right,
            agents::an_agent_that_vanished_comes_back,
            agents::equal_agents_share_nothing,
            agents::many_may_synchronise_at_once,
            agents::a_removed_agent_leaves_nothing_behind_and_takes_nothing_with_it,
            sessions::a_message_is_answered,
            sessions::what_is_said_arrives_as_it_is,
            sessions::a_poll_without_news_is_empty,
            sessions::a_failed_turn_says_so_after_its_end,
            sessions::a_lost_twin_is_not_found,
            sessions::a_twin_needs_its_agent,
            sessions::a_closed_twin_is_gone,
            sessions::history_is_told_again_and_not_answered,
            sessions::a_message_is_found_by_our_id,
            sessions::an_empty_message_is_rejected,
            sessions::another_message_cancels_the_turn,
            sessions::a_twin_without_its_agent_stays_silent,
            sessions::fifty_conversations_at_once_keep_apart,
            sessions::health_tells_the_version,
        }
    };
    ($peer:ident: $($module:ident :: $name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                contract::$module::$name(&$peer().await).await;
            }
        )*
    };
}
pub(crate) use contract;

impl Peer {
    /// Asks the engine past the client, for what the client does not show.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let method = method.parse().unwrap();
        let request = client.request(method, format!("{}/{path}", self.base_url)).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, value) = self.raw("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// The guidelines that carry the agent's tag, by what they say.
    pub(crate) async fn guidelines(&self, agent: Uuid) -> BTreeMap<String, Value> {
        let found = self.read(&format!("guidelines?tag_id=agent:{agent}")).await;
        let found = found.as_array().unwrap().clone();
        found.into_iter().map(|guideline| (guideline["action"].as_str().unwrap_or("-").to_owned(), guideline)).collect()
    }

    /// A new agent with these guidelines.
    pub(crate) async fn agent(&self, guidelines: &[Value]) -> Uuid {
        let id = Uuid::now_v7();
        self.engine.synchronise(&spec(id, guidelines)).await.unwrap();
        id
    }

    pub(crate) async fn open(&self, agent_id: Uuid) -> String {
        let (session_id, customer_id) = (Uuid::now_v7(), customer_id("w", &Uuid::now_v7().to_string()));
        self.engine.open(&Open { agent_id, session_id, customer_id, history: &[] }).await.unwrap()
    }

    /// Everything from the offset to the end of the turn, and what comes right after it.
    pub(crate) async fn turn(&self, twin: &str, from: i64) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let ended =
            |events: &[Event]| events.iter().any(|event| matches!(event.kind, Kind::Status(Status::Completed { .. })));
        while !ended(&events) {
            let next = events.last().map_or(from, |event| event.offset + 1);
            let news = self.engine.events(twin, next, Duration::from_secs(20)).await.unwrap();
            assert!(!news.is_empty(), "a turn that does not end: {events:?}");
            events.extend(news);
        }
        let next = events.last().unwrap().offset + 1;
        events.extend(self.engine.events(twin, next, Duration::from_secs(1)).await.unwrap());
        events
    }

    /// Says something, and gives what was answered.
    pub(crate) async fn talk(&self, twin: &str, text: &str) -> Vec<String> {
        let said = self.engine.say(twin, Uuid::now_v7(), text).await.unwrap();
        answers(&self.turn(twin, said.offset).await)
    }
}

pub(crate) fn spec(id: Uuid, guidelines: &[Value]) -> AgentSpec<'_> {
    AgentSpec { id, name: "Help desk", description: Some("Helps."), guidelines }
}

pub(crate) fn some_guidelines() -> Vec<Value> {
    vec![json!("Be kind"), json!({ "condition": "the customer greets", "action": "greet back" })]
}

/// The guidelines that the agent followed.
pub(crate) fn matched(events: &[Event]) -> BTreeSet<String> {
    let matched = events.iter().filter_map(|event| match &event.kind {
        Kind::Status(Status::Completed { matched_guidelines }) => Some(matched_guidelines),
        _ => None,
    });
    matched.flatten().cloned().collect()
}

pub(crate) fn answers(events: &[Event]) -> Vec<String> {
    let answer = |event: &Event| match &event.kind {
        Kind::AgentMessage { text, preamble: false } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(answer).collect()
}
