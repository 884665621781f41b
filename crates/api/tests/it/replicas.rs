//! Two servers on one database.

use std::time::{Duration, Instant};

use parlant_conversations::{TurnStatus, What};
use parlant_test_support::{ChaosProxy, TestDatabase, database};
use serde_json::json;

use crate::house::{Options, People, Server, eventually, scraped};
use crate::stream::{Conversation, Socket};

fn replica(url: String) -> Server {
    Server::with(Options { is_replica: true, ..Options::at(url) })
}

/// Two that hear each other.
async fn two(database: &TestDatabase, people: &People, other_url: String) -> (Server, Server, Conversation) {
    let (one, other) = (replica(database.url()), replica(other_url));
    let ada = one.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    for (teller, listener) in [(&one, &other), (&other, &one)] {
        let mut events = conversation.follow(listener.caller(&people.ada_token)).await;
        let heard = async {
            let event = events.next().await.unwrap();
            assert_eq!(event.name, "status");
        };
        let telling = async {
            loop {
                teller.live.announce(conversation.notice(people, What::Status(TurnStatus::Ready)));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = heard => {}
            () = telling => {}
        }
    }
    (one, other, conversation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_stores_the_other_tells_at_once_and_each_tells_it_once() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let (one, other, conversation) = two(&database, &people, database.url()).await;
    let (here, there) = (one.caller(&people.ada_token), other.caller(&people.ada_token));
    let mut at_home = Socket::of(&one, &people.ada_token, "").await;
    let mut socket = Socket::of(&other, &people.ada_token, "").await;
    let mut events = conversation.follow(there).await;
    let mut latencies = Vec::new();
    for number in 0..50 {
        conversation.say(here, &number.to_string()).await;
        let stored = Instant::now();
        while events.next().await.unwrap().name != "message" {}
        latencies.push(stored.elapsed());
        for socket in [&mut socket, &mut at_home] {
            let event = loop {
                let event = socket.next().await.unwrap();
                if event["type"] == "message:new" {
                    break event;
                }
            };
            assert_eq!(event["message"]["content"], number.to_string());
        }
    }
    latencies.sort();
    println!(
        "from the answer to the writer to the event at the other server: median {:?}, longest {:?}",
        latencies[25], latencies[49]
    );
    assert!(latencies[45] < Duration::from_millis(200), "{latencies:?}");
    conversation.end(here).await;
    while events.next().await.unwrap().name != "session:ended" {}
    for socket in [&mut socket, &mut at_home] {
        assert_eq!(socket.next().await.unwrap()["type"], "session:ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_its_database_and_misses_nothing() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let proxy = ChaosProxy::start(database.address()).await;
    let (one, other, conversation) = two(&database, &people, database.url_through(proxy.address())).await;
    let here = one.caller(&people.ada_token);
    let mut events = conversation.follow(other.caller(&people.ada_token)).await;
    let mut socket = Socket::of(&other, &people.ada_token, "").await;
    let mut next = 0;
    for round in 0..3 {
        proxy.refuse().await;
        proxy.cut();
        for number in 0..5 {
            conversation.say(here, &format!("{round}-{number}")).await;
        }
        proxy.restore().await;
        for _ in 0..5 {
            let message = loop {
                let event = events.next().await.unwrap();
                if event.name == "message" {
                    break event.data;
                }
            };
            assert_eq!(message["offset"], next);
            next += 1;
        }
    }
    // A socket has no memory; it says so.
    while socket.next().await.unwrap() != json!({"type": "events:missed"}) {}
    eventually("heard again", async || scraped("parlant_live_connected", &[]) >= 1.0).await;
}

#[tokio::test]
async fn what_nobody_told_is_found_with_the_next_heart_beat() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    // They do not hear each other.
    let (one, other) = (Server::start(&database), Server::start(&database));
    let here = one.caller(&people.ada_token);
    let conversation = Conversation::start(here, &people.workspace).await;
    let mut events = conversation.follow(other.caller(&people.ada_token)).await;
    let message = conversation.say(here, "hello").await;
    conversation.end(here).await;
    let asked = Instant::now();
    assert_eq!(events.message().await, message);
    assert_eq!(events.next().await.unwrap().name, "session:ended");
    assert!(asked.elapsed() > Duration::from_secs(5), "{:?}", asked.elapsed());
}
