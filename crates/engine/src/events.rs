use serde_json::Value;
use uuid::Uuid;

use crate::sessions::{MESSAGE_ID, RECALLED};

/// Something that happened in a twin. Its id is unique over all twins and restarts.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Parlant's id.
    pub id: String,
    /// Where it is in the twin, counted from 0.
    pub offset: i64,
    /// The turn that it belongs to; see [`Delivered::trace_id`](crate::Delivered::trace_id).
    pub trace_id: String,
    /// What happened.
    pub kind: Kind,
}

/// What happened. `Debug` does not show what was said.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// The customer said something.
    CustomerMessage {
        /// As given to [`Engine::say`](crate::Engine::say); none when it was said in another way.
        message_id: Option<Uuid>,
    },
    /// The agent said something, or a human in its place.
    AgentMessage {
        /// What was said.
        text: String,
        /// Whether it is only to bridge the time until the answer.
        preamble: bool,
    },
    /// How far the turn is.
    Status(Status),
    /// Something that is no news: a call of a tool, the history that a twin was opened with, what this version does not
    /// know.
    Other,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CustomerMessage { message_id } => write!(f, "CustomerMessage({message_id:?})"),
            Self::AgentMessage { preamble, .. } => write!(f, "AgentMessage(preamble: {preamble})"),
            Self::Status(status) => status.fmt(f),
            Self::Other => f.write_str("Other"),
        }
    }
}

/// How far a turn is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The message was seen.
    Acknowledged,
    /// The agent thinks.
    Processing {
        /// Parlant's word for what about, such as `Interpreting`.
        stage: Option<String>,
    },
    /// The agent writes.
    Typing,
    /// The agent has said one thing and may go on.
    Ready,
    /// The turn has ended; [`Self::Failed`] or [`Self::Cancelled`] tell how, beside it.
    Completed {
        /// The ids of the guidelines that the agent followed.
        matched_guidelines: Vec<String>,
    },
    /// Another message of the customer's ended the turn.
    Cancelled,
    /// The turn failed, for reasons that only Parlant's own log tells.
    Failed,
    /// A word that this version does not know.
    Other,
}

impl Event {
    /// None when it has no id or place.
    pub(crate) fn read(event: &Value) -> Option<Self> {
        let text = |name: &str| event[name].as_str();
        Some(Self {
            id: text("id")?.to_owned(),
            offset: event["offset"].as_i64()?,
            trace_id: text("trace_id").unwrap_or_default().to_owned(),
            kind: Kind::read(event),
        })
    }
}

impl Kind {
    fn read(event: &Value) -> Self {
        let (data, metadata) = (&event["data"], &event["metadata"]);
        let word = |name: &str| event[name].as_str().unwrap_or_default();
        match (word("kind"), word("source")) {
            ("message", _) if metadata[RECALLED] == true => Self::Other,
            ("message", "customer") => {
                let message_id = metadata[MESSAGE_ID].as_str().and_then(|id| id.parse().ok());
                Self::CustomerMessage { message_id }
            }
            ("message", "ai_agent" | "human_agent" | "human_agent_on_behalf_of_ai_agent") => {
                let preamble = texts(&data["tags"], |tag| tag).iter().any(|tag| tag == "__preamble__");
                match data["message"].as_str() {
                    Some(text) => Self::AgentMessage { text: text.to_owned(), preamble },
                    None => Self::Other,
                }
            }
            ("status", _) => Self::Status(Status::read(data)),
            _ => Self::Other,
        }
    }
}

impl Status {
    fn read(data: &Value) -> Self {
        let (status, data) = (data["status"].as_str().unwrap_or_default(), &data["data"]);
        let stage = data["stage"].as_str();
        match (status, stage) {
            ("acknowledged", _) => Self::Acknowledged,
            ("processing", stage) => Self::Processing { stage: stage.map(str::to_owned) },
            ("typing", _) => Self::Typing,
            ("ready", Some("completed")) => {
                Self::Completed { matched_guidelines: texts(&data["matched_guidelines"], |matched| &matched["id"]) }
            }
            ("ready", _) => Self::Ready,
            ("cancelled", _) => Self::Cancelled,
            ("error", _) => Self::Failed,
            _ => Self::Other,
        }
    }
}

/// The texts of a list, where `of` finds them.
fn texts(list: &Value, of: impl Fn(&Value) -> &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| of(item).as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, source: &str, data: &Value) -> Kind {
        let event = json!({
            "id": "e", "offset": 3, "kind": kind, "source": source, "trace_id": "t",
            "creation_utc": "2026-06-26T10:00:00.123456Z", "data": data,
        });
        Event::read(&event).unwrap().kind
    }

    fn status(status: &str, data: &Value) -> Status {
        match read("status", "ai_agent", &json!({ "status": status, "data": data })) {
            Kind::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_a_turn_is_told_from_a_pause_in_it() {
        let matched = json!({ "stage": "completed", "matched_guidelines": [{ "id": "g" }], "matched_journeys": [] });
        assert_eq!(status("ready", &matched), Status::Completed { matched_guidelines: vec!["g".to_owned()] });
        assert_eq!(status("ready", &json!({})), Status::Ready);
        assert_eq!(
            status("processing", &json!({ "stage": "Thinking" })),
            Status::Processing { stage: Some("Thinking".to_owned()) }
        );
        assert_eq!(status("error", &json!({ "exception": "Traceback" })), Status::Failed);
    }

    #[test]
    fn a_preamble_is_told_from_an_answer() {
        let said = |tags: Value| read("message", "ai_agent", &json!({ "message": "Well", "tags": tags }));
        assert_eq!(said(json!(["__preamble__"])), Kind::AgentMessage { text: "Well".to_owned(), preamble: true });
        assert_eq!(said(Value::Null), Kind::AgentMessage { text: "Well".to_owned(), preamble: false });
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        assert_eq!(read("hologram", "ai_agent", &json!({})), Kind::Other);
        assert_eq!(read("message", "parrot", &json!({ "message": "x" })), Kind::Other);
        assert_eq!(read("message", "ai_agent", &json!("x")), Kind::Other);
        assert_eq!(status("dreaming", &json!({})), Status::Other);
        assert_eq!(read("status", "ai_agent", &json!(null)), Kind::Status(Status::Other));
        assert_eq!(Event::read(&json!({ "kind": "message" })), None);
    }

    #[test]
    fn what_was_said_is_not_shown() {
        let said = Kind::AgentMessage { text: "hunter2".to_owned(), preamble: false };
        assert!(!format!("{said:?}").contains("hunter2"));
    }
}
