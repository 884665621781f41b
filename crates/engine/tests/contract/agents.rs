//! Whether the engine's agents become what they are to be.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use parlant_engine::AgentSpec;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Peer, matched, some_guidelines, spec};

pub(crate) async fn a_new_agent_has_our_id_and_its_guidelines_are_its_own(peer: &Peer) {
    let id = peer.agent(&some_guidelines()).await;
    let agent = peer.read(&format!("agents/{id}")).await;
    assert_eq!((&agent["name"], &agent["description"]), (&json!("Help desk"), &json!("Helps.")));
    assert_eq!(agent["composition_mode"], "fluid");
    let guidelines = peer.guidelines(id).await;
    assert_eq!(guidelines.keys().collect::<Vec<_>>(), ["Be kind", "greet back"]);
    assert_eq!(guidelines["greet back"]["condition"], "the customer greets");
    for guideline in guidelines.values() {
        assert_eq!(guideline["tags"], json!([format!("agent:{id}")]));
    }
}

pub(crate) async fn synchronising_again_changes_nothing(peer: &Peer) {
    let guidelines = some_guidelines();
    let id = peer.agent(&guidelines).await;
    let before = (peer.read(&format!("agents/{id}")).await, peer.guidelines(id).await);
    // The same guideline twice is one.
    let again = [&guidelines[..], &guidelines[..]].concat();
    peer.engine.synchronise(&spec(id, &again)).await.unwrap();
    assert_eq!((peer.read(&format!("agents/{id}")).await, peer.guidelines(id).await), before);
}

pub(crate) async fn every_change_is_followed(peer: &Peer) {
    let id = peer.agent(&some_guidelines()).await;
    let kept = peer.guidelines(id).await["Be kind"]["id"].clone();
    let guidelines = [json!("Be brief"), json!("Be kind"), json!({ "condition": "it rains" }), json!("")];
    let changed = AgentSpec { id, name: "Shop", description: None, guidelines: &guidelines };
    peer.engine.synchronise(&changed).await.unwrap();
    let agent = peer.read(&format!("agents/{id}")).await;
    assert_eq!(agent["name"], "Shop");
    assert_eq!(agent["description"].as_str().unwrap_or_default().trim(), "");
    let found = peer.guidelines(id).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["-", "Be brief", "Be kind"]);
    assert_eq!((&found["Be kind"]["id"], &found["-"]["condition"]), (&kept, &json!("it rains")));
    peer.engine.synchronise(&AgentSpec { guidelines: &[], ..changed }).await.unwrap();
    assert_eq!(peer.guidelines(id).await.len(), 0);
}

pub(crate) async fn a_long_name_is_cut_to_what_the_engine_takes(peer: &Peer) {
    let id = Uuid::now_v7();
    let name = "ü".repeat(255);
    let agent = AgentSpec { id, name: &name, description: None, guidelines: &[] };
    for _ in 0..2 {
        peer.engine.synchronise(&agent).await.unwrap();
        let found = peer.read(&format!("agents/{id}")).await;
        assert_eq!(found["name"].as_str().unwrap().chars().count(), 100);
    }
}

pub(crate) async fn what_was_done_by_hand_is_put_right(peer: &Peer) {
    let mut guidelines = some_guidelines();
    guidelines.extend([json!("Be brief"), json!("Be exact")]);
    let id = peer.agent(&guidelines).await;
    let before = peer.guidelines(id).await;
    let path = |action: &str| format!("guidelines/{}", before[action]["id"].as_str().unwrap());
    let tag = format!("agent:{id}");
    for (method, path, body) in [
        ("PATCH", format!("agents/{id}"), json!({ "name": "Another" })),
        ("DELETE", path("Be kind"), Value::Null),
        ("PATCH", path("greet back"), json!({ "action": "be rude" })),
        // Now it is every agent's.
        ("PATCH", path("Be brief"), json!({ "tags": { "remove": [tag] } })),
        ("PATCH", path("Be exact"), json!({ "enabled": false })),
        (
            "POST",
            "guidelines".to_owned(),
            json!({ "id": Uuid::now_v7(), "condition": "c", "action": "a", "tags": [tag] }),
        ),
    ] {
        let (status, answer) = peer.raw(method, &path, body).await;
        assert!(matches!(status, 200..=204), "{method} {path}: {answer}");
    }
    peer.engine.synchronise(&spec(id, &guidelines)).await.unwrap();
    let after = peer.guidelines(id).await;
    let said = |guidelines: &std::collections::BTreeMap<String, Value>| {
        let fields = ["id", "condition", "action", "enabled", "tags"];
        guidelines.values().map(|guideline| fields.map(|field| guideline[field].clone())).collect::<Vec<_>>()
    };
    assert_eq!(said(&after), said(&before));
    assert_eq!(peer.read(&format!("agents/{id}")).await["name"], "Help desk");
}

pub(crate) async fn an_agent_that_vanished_comes_back(peer: &Peer) {
    let id = peer.agent(&some_guidelines()).await;
    assert_eq!(peer.raw("DELETE", &format!("agents/{id}"), Value::Null).await.0, 204);
    peer.engine.synchronise(&spec(id, &some_guidelines())).await.unwrap();
    assert_eq!(peer.read(&format!("agents/{id}")).await["name"], "Help desk");
    let twin = peer.open(id).await;
    assert_eq!(peer.talk(&twin, "hello").await, [format!("{}hello", peer.prefix)]);
}

pub(crate) async fn equal_agents_share_nothing(peer: &Peer) {
    let (one, other) = (peer.agent(&some_guidelines()).await, peer.agent(&some_guidelines()).await);
    let ids = async |agent| -> BTreeSet<String> {
        let guidelines = peer.guidelines(agent).await;
        guidelines.values().map(|guideline| guideline["id"].as_str().unwrap().to_owned()).collect()
    };
    let (ones, others) = (ids(one).await, ids(other).await);
    assert_eq!((ones.len(), others.len(), ones.intersection(&others).count()), (2, 2, 0));
    let twin = peer.open(other).await;
    let said = peer.engine.say(&twin, Uuid::now_v7(), "hello").await.unwrap();
    let matched = matched(&peer.turn(&twin, said.offset).await);
    assert!(matched.is_superset(&others) && matched.is_disjoint(&ones), "{matched:?}");
    peer.engine.remove_agent(one).await.unwrap();
    assert_eq!(ids(other).await, others);
}

pub(crate) async fn many_may_synchronise_at_once(peer: &Peer) {
    let (id, guidelines) = (Uuid::now_v7(), some_guidelines());
    let agent = spec(id, &guidelines);
    for outcome in join_all((0..8).map(|_| peer.engine.synchronise(&agent))).await {
        outcome.unwrap();
    }
    assert_eq!(peer.guidelines(id).await.len(), 2);
}

pub(crate) async fn a_removed_agent_leaves_nothing_behind_and_takes_nothing_with_it(peer: &Peer) {
    let (gone, other) = (peer.agent(&some_guidelines()).await, peer.agent(&some_guidelines()).await);
    let (lost, kept) = (peer.open(gone).await, peer.open(other).await);
    for _ in 0..2 {
        peer.engine.remove_agent(gone).await.unwrap();
    }
    assert_eq!(peer.raw("GET", &format!("agents/{gone}"), Value::Null).await.0, 404);
    assert_eq!(peer.guidelines(gone).await.len(), 0);
    assert_eq!(peer.raw("GET", &format!("sessions/{lost}/events?wait_for_data=0"), Value::Null).await.0, 404);
    assert_eq!(peer.talk(&kept, "still there?").await, [format!("{}still there?", peer.prefix)]);
}
