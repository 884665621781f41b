use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Engine, Error, Event, hashed};

/// Every customer's name in Parlant: the model is told it, and need not know who asks.
const CUSTOMER: &str = "Customer";
/// An agent that does not exist.
const NOBODY: &str = "nobody";
/// Marks what a twin was told of earlier times.
pub(crate) const RECALLED: &str = "recalled";
/// Where an event keeps our id of the message.
pub(crate) const MESSAGE_ID: &str = "message_id";

/// What a twin is made from.
#[derive(Debug)]
pub struct Open<'a> {
    /// An agent that was [synchronised](Engine::synchronise).
    pub agent_id: Uuid,
    /// The bridge's session. Parlant only keeps it.
    pub session_id: Uuid,
    /// Who talks: a [`customer_id`].
    pub customer_id: String,
    /// What was said so far, oldest first, no text empty. Each is a request.
    pub history: &'a [Said],
}

/// Something that was said earlier. `Debug` does not show what.
#[derive(Clone, PartialEq, Eq)]
pub enum Said {
    /// By the customer.
    Customer(String),
    /// By the agent.
    Agent(String),
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Customer(_) => "Customer(..)",
            Self::Agent(_) => "Agent(..)",
        })
    }
}

/// A message that Parlant has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Where it is in the twin, counted from 0.
    pub offset: i64,
    /// Parlant's id of the turn, for people who search its logs. It decides nothing: some servers give every message
    /// the same.
    pub trace_id: String,
}

/// Who a user of a workspace is in Parlant: tells neither, and is somebody else in each workspace.
#[must_use]
pub fn customer_id(workspace_id: &str, user_id: &str) -> String {
    hashed(["customer", workspace_id, user_id])
}

impl Engine {
    /// Makes a twin of a session, and gives its id. What was said so far is told again, unanswered: to Parlant the
    /// customer said it, or a human in the agent's place.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the agent is not there. What was begun is undone as far as possible.
    pub async fn open(&self, open: &Open<'_>) -> Result<String, Error> {
        let Open { agent_id, session_id, customer_id, .. } = open;
        let body = json!({
            "agent_id": agent_id,
            "customer_id": customer_id,
            "metadata": { "session_id": session_id },
        });
        let session = self.post(&["sessions"], &body).await?;
        let twin = session["id"].as_str().ok_or(Error::garbage())?;
        if let Err(error) = self.furnish(twin, open).await {
            let _ = self.close(twin).await;
            return Err(error);
        }
        Ok(twin.to_owned())
    }

    /// Parlant takes a session with an unknown customer and never answers there. So the customer comes second: a
    /// restart in between that loses the one loses the other.
    async fn furnish(&self, twin: &str, open: &Open<'_>) -> Result<(), Error> {
        let id = &*open.customer_id;
        match self.get(&["customers", id], &[]).await {
            Err(Error::NotFound) => self.create("customers", id, &json!({ "id": id, "name": CUSTOMER })).await?,
            found => found?,
        };
        self.recall(twin, open.agent_id, open.history).await
    }

    async fn recall(&self, twin: &str, agent_id: Uuid, history: &[Said]) -> Result<(), Error> {
        if history.is_empty() {
            return Ok(());
        }
        // As long as a human has taken over, nothing is answered. Parlant looks at that some time after it took a
        // message, when nobody may have taken over any more, unless the next message is there by then. So the last one
        // goes to an agent that does not exist: to which one it goes is settled when it is taken.
        let last = history.iter().rposition(|said| matches!(said, Said::Customer(_)));
        let path = ["sessions", twin];
        self.patch(&path, &json!({ "mode": "manual" })).await?;
        for (place, said) in history.iter().enumerate() {
            let (source, text) = match said {
                Said::Customer(text) => ("customer", text),
                Said::Agent(text) => ("human_agent_on_behalf_of_ai_agent", text),
            };
            let metadata = json!({ RECALLED: true });
            let event = json!({ "kind": "message", "source": source, "message": text, "metadata": metadata });
            if last == Some(place) {
                self.patch(&path, &json!({ "agent_id": NOBODY })).await?;
            }
            self.post(&["sessions", twin, "events"], &event).await?;
            if last == Some(place) {
                self.patch(&path, &json!({ "agent_id": agent_id })).await?;
            }
        }
        self.patch(&path, &json!({ "mode": "auto" })).await?;
        Ok(())
    }

    /// Lets the customer say something; the agent begins to answer. Saying it twice makes it two messages, and saying
    /// something while the agent answers makes it start over.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the twin is lost. After [`Error::Unreachable`] it may have been said: [`Self::find`].
    pub async fn say(&self, twin: &str, message_id: Uuid, text: &str) -> Result<Delivered, Error> {
        let event = json!({
            "kind": "message",
            "source": "customer",
            "message": text,
            "metadata": { MESSAGE_ID: message_id },
        });
        delivered(&self.post(&["sessions", twin, "events"], &event).await?)
    }

    /// The message, if it was said at `from_offset` or later.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the twin is lost.
    pub async fn find(&self, twin: &str, message_id: Uuid, from_offset: i64) -> Result<Option<Delivered>, Error> {
        let from = from_offset.to_string();
        let query = [("min_offset", &*from), ("kinds", "message"), ("source", "customer"), ("wait_for_data", "0")];
        let found = self.get(&["sessions", twin, "events"], &query).await?;
        let events = found.as_array().ok_or(Error::garbage())?;
        let id = message_id.to_string();
        events.iter().find(|event| event["metadata"][MESSAGE_ID] == *id).map(delivered).transpose()
    }

    /// What happened in the twin from `from_offset` on, oldest first. Waits until something did, at most `wait`, in
    /// whole seconds; then there is nothing.
    ///
    /// A turn ends with [`Status::Completed`](crate::Status::Completed), and [`Status::Failed`](crate::Status::Failed)
    /// comes after it: whoever has seen the end looks once more, without waiting. A twin whose agent or customer was
    /// removed stays silent for ever.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the twin is lost.
    pub async fn events(&self, twin: &str, from_offset: i64, wait: Duration) -> Result<Vec<Event>, Error> {
        let (from, seconds) = (from_offset.to_string(), wait.as_secs().to_string());
        let query = [("min_offset", &*from), ("wait_for_data", &*seconds)];
        let found = self.poll(&["sessions", twin, "events"], &query, wait).await?;
        let events = found.as_array().ok_or(Error::garbage())?;
        events.iter().map(Event::read).collect::<Option<_>>().ok_or(Error::garbage())
    }

    /// Forgets the twin. That there is none is fine.
    pub async fn close(&self, twin: &str) -> Result<(), Error> {
        // Without an id, this would be every session of the server.
        if twin.is_empty() { Ok(()) } else { self.delete(&["sessions", twin], &[]).await }
    }
}

fn delivered(event: &Value) -> Result<Delivered, Error> {
    let offset = event["offset"].as_i64().ok_or(Error::garbage())?;
    let trace_id = event["trace_id"].as_str().unwrap_or_default().to_owned();
    Ok(Delivered { offset, trace_id })
}
