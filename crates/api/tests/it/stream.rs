//! Clients of streams, and a conversation to follow.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use parlant_conversations::{Notice, What};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::house::{Caller, People, Server};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Ada's conversation with an agent of her workspace.
pub(crate) struct Conversation {
    pub(crate) agent: String,
    pub(crate) session: String,
}

impl Conversation {
    pub(crate) async fn start(caller: Caller<'_>, workspace: &str) -> Self {
        let name = format!("Guide {:x}", rand::random::<u64>());
        let agent = caller.post("/api/v1/agents", &json!({"workspace_id": workspace, "name": name})).await;
        let agent = agent.expect(201)["id"].as_str().unwrap().to_owned();
        Self::with(caller, workspace, agent).await
    }

    pub(crate) async fn with(caller: Caller<'_>, workspace: &str, agent: String) -> Self {
        let new = json!({"workspace_id": workspace, "agent_id": agent});
        let session = caller.post("/api/v1/agents/sessions", &new).await;
        let session = session.expect(201)["session_id"].as_str().unwrap().to_owned();
        Self { agent, session }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/agents/sessions/{}", self.session)
    }

    pub(crate) async fn say(&self, caller: Caller<'_>, content: &str) -> Value {
        let said = caller.post(&format!("{}/messages", self.path()), &json!({"content": content})).await;
        said.expect(201)
    }

    pub(crate) async fn end(&self, caller: Caller<'_>) {
        caller.delete(&self.path()).await.expect(200);
    }

    pub(crate) fn notice(&self, people: &People, what: What) -> Notice {
        Notice {
            workspace_id: people.workspace.clone(),
            user_id: people.ada.clone(),
            session_id: self.session.parse().unwrap(),
            agent_id: self.agent.parse().unwrap(),
            what,
        }
    }

    pub(crate) async fn follow(&self, caller: Caller<'_>) -> Events {
        Events::of(self.ask(caller)).await
    }

    /// From after an offset on, as an `EventSource` comes back.
    pub(crate) async fn resume(&self, caller: Caller<'_>, last: i64) -> Events {
        Events::of(self.ask(caller).header("last-event-id", last)).await
    }

    pub(crate) fn ask(&self, caller: Caller<'_>) -> RequestBuilder {
        caller.request(Method::GET, &format!("{}/events", self.path()))
    }
}

/// The reading end of server-sent events.
pub(crate) struct Events {
    response: Response,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<i64>,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, bytes: Vec::new() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The next event; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read()).await.unwrap()
    }

    /// The next one, which must be a message.
    pub(crate) async fn message(&mut self) -> Value {
        let event = self.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("message", event.data["offset"].as_i64()), "{event:?}");
        event.data
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<_> = self.bytes.drain(..end + 2).collect();
                let event = parse(str::from_utf8(&block).unwrap());
                if event.is_some() {
                    return event;
                }
            }
            // A connection that breaks is an end as well.
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.bytes.extend(chunk);
        }
    }
}

/// An event, unless it is a comment or says when to come back.
fn parse(block: &str) -> Option<Event> {
    let field = |wanted: &str| {
        let mut fields = block.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let name = field("event")?.to_owned();
    Some(Event {
        name,
        id: field("id").map(|id| id.parse().unwrap()),
        data: serde_json::from_str(field("data").unwrap()).unwrap(),
    })
}

/// A WebSocket client.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// With these headers, or the status of the refusal.
    pub(crate) async fn connect(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let address = server.address;
        let mut request = format!("ws://{address}/api/v1/agents/ws{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn of(server: &Server, token: &str, query: &str) -> Self {
        Self::connect(server, query, &[("authorization", &format!("Bearer {token}"))]).await.unwrap()
    }

    /// The next event; why it was closed, if it was.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.0.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Why it was closed.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(frame) = self.next().await {
                return frame.map_or((0, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
            }
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        use futures_util::SinkExt as _;
        self.0.send(message).await.unwrap();
    }
}
