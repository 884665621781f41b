use std::time::Duration;

use futures_util::future::join_all;
use parlant_conversations::{Error, ListMessages, Message, MessageType, NewMessage, check};
use serde_json::json;
use uuid::Uuid;

use crate::house::{House, admin, house, invalid, reader, says};

const ALL: ListMessages = ListMessages { offset: 0, limit: 100 };

fn with_key(content: &str, key: &str) -> NewMessage {
    NewMessage { idempotency_key: Some(key.to_owned()), ..says(content) }
}

/// A session of Ada's in the workspace `w`.
async fn session(house: &House) -> Uuid {
    let agent = house.agent("w", "Help").await;
    house.session(&reader("ada", "w"), &agent).await.id
}

#[tokio::test]
async fn a_message_looks_as_the_contract_says() {
    let house = house().await;
    let ada = reader("ada", "w");
    let session = session(&house).await;
    let new = NewMessage {
        message_type: MessageType::System,
        metadata: Some(json!({"b": 1, "a": [true, null]})),
        ..says("Hello \u{1F980}")
    };
    let posted = house.conversations.post_message(&ada, session, new).await.unwrap();
    house.post(&ada, session, " ").await;

    let page = house.conversations.list_messages(&ada, session, ALL).await.unwrap();
    let json = serde_json::to_value(&page).unwrap();
    let (first, second) = (&json["messages"][0], &json["messages"][1]);
    assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(*first, serde_json::to_value(&posted).unwrap());
    assert_eq!(
        json,
        json!({
            "messages": [
                {
                    "id": posted.id.to_string(),
                    "session_id": session.to_string(),
                    "offset": 0,
                    "content": "Hello \u{1F980}",
                    "message_type": "system",
                    "timestamp": first["timestamp"],
                    "metadata": {"a": [true, null], "b": 1},
                },
                {
                    "id": second["id"],
                    "session_id": session.to_string(),
                    "offset": 1,
                    "content": " ",
                    "message_type": "user",
                    "timestamp": second["timestamp"],
                    "metadata": {},
                },
            ],
            "total": 2,
            "offset": 0,
            "limit": 100,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_writers_leave_no_gap_and_time_grows_with_the_offset() {
    let house = house().await;
    let session = session(&house).await;
    let write = async |writer: usize| {
        let ada = reader("ada", "w");
        for number in 0..10 {
            house.post(&ada, session, &format!("{writer}.{number}")).await;
        }
    };
    join_all((0..20).map(write)).await;

    let ada = reader("ada", "w");
    let mut messages: Vec<Message> = Vec::new();
    for offset in [0, 100, 200] {
        let list = ListMessages { offset, limit: 100 };
        let page = house.conversations.list_messages(&ada, session, list).await.unwrap();
        assert_eq!(page.total, 200);
        messages.extend(page.messages);
    }
    let offsets: Vec<_> = messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>());
    assert!(messages.is_sorted_by_key(|message| message.timestamp));
    for writer in 0..20 {
        let prefix = format!("{writer}.");
        let own = messages.iter().filter(|message| message.content.starts_with(&prefix));
        let own: Vec<_> = own.map(|message| message.content[prefix.len()..].to_owned()).collect();
        assert_eq!(own, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_counter_of_a_session_changes_within_its_page() {
    let house = house().await;
    let session = session(&house).await;
    for number in 0..100 {
        house.post(&reader("ada", "w"), session, &number.to_string()).await;
    }
    // Statistics arrive a moment after the transactions.
    let updates = "select n_tup_upd from pg_stat_user_tables where relname = 'parlant_session'";
    for _ in 0..100 {
        if house.count(updates).await == 100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(house.count(updates).await, 100);
    let inside = "select n_tup_hot_upd from pg_stat_user_tables where relname = 'parlant_session'";
    assert!(house.count(inside).await >= 95);
}

#[tokio::test]
async fn a_retry_with_the_same_key_stores_nothing_twice() {
    let house = house().await;
    let ada = reader("ada", "w");
    let session = session(&house).await;
    let new = NewMessage { metadata: Some(json!({"n": 1.0, "m": {}})), ..with_key("Hello", "k1") };
    let conversations = &house.conversations;
    let first = conversations.post_message(&ada, session, new.clone()).await.unwrap();
    house.post(&ada, session, "between").await;
    let again = conversations.post_message(&ada, session, new.clone()).await.unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&first).unwrap());

    let others = [
        with_key("Other", "k1"),
        NewMessage { metadata: None, ..new.clone() },
        NewMessage { message_type: MessageType::System, ..new.clone() },
    ];
    for other in others {
        let result = conversations.post_message(&ada, session, other).await;
        assert!(matches!(result, Err(Error::IdempotencyMismatch)), "{result:?}");
    }

    // A key belongs to its session, and outlives the session's end.
    let another = {
        let agent = conversations.agent(&ada, conversations.session(&ada, session).await.unwrap().agent_id);
        house.session(&ada, &agent.await.unwrap()).await.id
    };
    let elsewhere = conversations.post_message(&ada, another, new.clone()).await.unwrap();
    assert_ne!(elsewhere.id, first.id);
    conversations.end_session(&ada, session).await.unwrap();
    let again = conversations.post_message(&ada, session, new).await.unwrap();
    assert_eq!(again.id, first.id);
    let late = conversations.post_message(&ada, session, with_key("Hello", "k2")).await;
    assert!(matches!(late, Err(Error::SessionEnded)), "{late:?}");

    let page = conversations.list_messages(&ada, session, ALL).await.unwrap();
    assert_eq!((page.total, page.messages.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twenty_times_at_once_is_one_message() {
    let house = house().await;
    let session = session(&house).await;
    for round in 0..5 {
        let key = format!("k{round}");
        let post = async |_| {
            let ada = reader("ada", "w");
            let new = with_key("Hello", &key);
            house.conversations.post_message(&ada, session, new).await.unwrap().id
        };
        let ids = join_all((0..20).map(post)).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    let ada = reader("ada", "w");
    let page = house.conversations.list_messages(&ada, session, ALL).await.unwrap();
    let offsets: Vec<_> = page.messages.iter().map(|message| message.offset).collect();
    assert_eq!((page.total, offsets), (5, vec![0, 1, 2, 3, 4]));
}

#[tokio::test]
async fn what_was_said_does_not_show_in_debug() {
    let house = house().await;
    let session = session(&house).await;
    let new = NewMessage { metadata: Some(json!({"pin": "hunter2"})), ..says("hunter2") };
    assert!(!format!("{new:?}").contains("hunter2"));
    let ada = reader("ada", "w");
    let posted = house.conversations.post_message(&ada, session, new).await;
    assert!(!format!("{posted:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_ended_session_takes_no_messages_and_can_be_read() {
    let house = house().await;
    let ada = reader("ada", "w");
    let session = session(&house).await;
    house.post(&ada, session, "Hello").await;
    house.conversations.end_session(&ada, session).await.unwrap();
    let result = house.conversations.post_message(&ada, session, says("Late")).await;
    assert!(matches!(result, Err(Error::SessionEnded)), "{result:?}");
    let page = house.conversations.list_messages(&ada, session, ALL).await.unwrap();
    assert_eq!((page.total, page.messages.len()), (1, 1));
}

#[tokio::test]
async fn the_owner_alone_posts_and_an_admin_reads_along() {
    let house = house().await;
    let session = session(&house).await;
    house.post(&reader("ada", "w"), session, "Hello").await;
    let conversations = &house.conversations;
    for actor in [admin("eve", "w"), reader("bob", "w")] {
        let result = conversations.post_message(&actor, session, says("Hi")).await;
        assert!(matches!(result, Err(Error::SessionNotFound)), "{result:?}");
    }
    let page = conversations.list_messages(&admin("eve", "w"), session, ALL).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    let result = conversations.list_messages(&reader("bob", "w"), session, ALL).await;
    assert!(matches!(result, Err(Error::SessionNotFound)), "{result:?}");
}

#[tokio::test]
async fn a_list_starts_at_an_offset_and_knows_the_total() {
    let house = house().await;
    let ada = reader("ada", "w");
    let session = session(&house).await;
    for number in 0..5 {
        house.post(&ada, session, &number.to_string()).await;
    }
    for (offset, limit, expected) in
        [(0, 2, vec!["0", "1"]), (2, 2, vec!["2", "3"]), (4, 100, vec!["4"]), (5, 100, vec![]), (u32::MAX, 100, vec![])]
    {
        let list = ListMessages { offset, limit };
        let page = house.conversations.list_messages(&ada, session, list).await.unwrap();
        let seen: Vec<_> = page.messages.iter().map(|message| &*message.content).collect();
        assert_eq!(seen, expected);
        assert_eq!((page.total, page.offset, page.limit), (5, offset, limit));
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_the_session_untouched() {
    let house = house().await;
    let ada = reader("ada", "w");
    let session = session(&house).await;
    let post = async |new| house.conversations.post_message(&ada, session, new).await;
    for content in ["", "a\0b", &"x".repeat(check::MAX_CONTENT + 1)] {
        assert_eq!(invalid(post(says(content)).await), ["content"]);
    }
    for metadata in [json!(1), json!({"a": "\0"}), json!({"a": "m".repeat(check::MAX_METADATA_BYTES)})] {
        let new = NewMessage { metadata: Some(metadata), ..says("Hello") };
        assert_eq!(invalid(post(new).await), ["metadata"]);
    }
    let forged = NewMessage { message_type: MessageType::Agent, ..with_key("", "not visible: \u{7f}") };
    let wrong = ["content", "message_type", "idempotency_key"];
    assert_eq!(invalid(post(forged).await), wrong);
    let page = house.conversations.list_messages(&ada, session, ALL).await.unwrap();
    assert_eq!((page.total, page.messages.len()), (0, 0));

    let longest = "\u{1F980}".repeat(check::MAX_CONTENT);
    let posted = post(says(&longest)).await.unwrap();
    assert_eq!((posted.offset, posted.content.as_str()), (0, longest.as_str()));
}
