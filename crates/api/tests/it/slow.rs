//! Clients that do not read what they are sent.

use std::time::{Duration, Instant};

use parlant_test_support::database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::house::{Caller, People, Server, scraped};
use crate::stream::Conversation;

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client that asks and then reads nothing.
async fn deaf(server: &Server, token: &str, path: &str, headers: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// More than the buffers of both kernels hold.
async fn say_much(conversation: &Conversation, caller: Caller<'_>) {
    let content = "😀".repeat(32_000);
    for _ in 0..80 {
        conversation.say(caller, &content).await;
    }
}

fn slow(kind: &str) -> f64 {
    scraped("parlant_live_slow_readers_total", &[("kind", kind)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_and_counted() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    let mut socket = deaf(&server, &people.ada_token, "/api/v1/agents/ws", HANDSHAKE).await;
    // Its head has come: it listens.
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let mut events = deaf(&server, &people.ada_token, &format!("{}/events", conversation.path()), "").await;
    events.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let before = [slow("sse"), slow("websocket")];
    let start = Instant::now();
    say_much(&conversation, ada).await;
    // Both are stuck; others are not.
    let mut lively = conversation.follow(ada).await;
    lively.message().await;
    while slow("sse") <= before[0] || slow("websocket") <= before[1] {
        assert!(start.elapsed() < Duration::from_mins(1), "never cut");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(10), "{:?}", start.elapsed());
    // What the kernels still hold can be read, and then it is over.
    for mut stream in [socket, events] {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.len() < 80 * 128_000, "{}", rest.len());
    }
}

#[tokio::test]
async fn who_does_not_answer_pings_is_gone() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let mut socket = deaf(&server, &people.ada_token, "/api/v1/agents/ws", HANDSHAKE).await;
    let start = Instant::now();
    let mut all = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(45), socket.read_to_end(&mut all)).await.unwrap();
    assert!(start.elapsed() > Duration::from_secs(25), "{:?}", start.elapsed());
    assert!(all.ends_with(b"\r\n\r\n\x89\x00"), "one ping and no more: {all:?}");
}
