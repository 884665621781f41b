use std::collections::{BTreeMap, HashMap};

use actix_web::http::StatusCode;
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::Answer;

/// Everything that a restart loses.
#[derive(Default)]
pub(super) struct World {
    /// By collection and id.
    entities: BTreeMap<(String, String), Value>,
    pub(super) sessions: BTreeMap<String, Session>,
}

pub(super) struct Session {
    pub(super) agent_id: String,
    customer_id: String,
    /// A human has taken over.
    manual: bool,
    events: Vec<Value>,
    pub(super) turn: Option<Turn>,
}

/// The answer under way.
pub(super) struct Turn {
    pub(super) trace: String,
    pub(super) task: AbortHandle,
    /// Whether anybody has seen it.
    pub(super) begun: bool,
}

impl World {
    /// Creates one or lists them.
    pub(super) fn collection(
        &mut self,
        method: &str,
        collection: &str,
        body: Value,
        query: &HashMap<String, String>,
    ) -> Answer {
        if method == "GET" {
            let tag = query.get("tag_id");
            let all = self.all(collection).filter(|entity| tag.is_none_or(|tag| has(entity, tag)));
            return Ok((StatusCode::OK, all.cloned().collect()));
        }
        let id = body["id"].as_str().map_or_else(short_id, str::to_owned);
        let (required, longest) = if collection == "guidelines" { ("condition", usize::MAX) } else { ("name", 100) };
        let length = body[required].as_str().map_or(0, |text| text.chars().count());
        if length == 0 || collection == "agents" && length > longest {
            return Err(StatusCode::UNPROCESSABLE_ENTITY);
        }
        for tag in body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let agent = tag.strip_prefix("agent:").ok_or(StatusCode::NOT_FOUND)?;
            self.known("agents", agent)?;
        }
        if self.known(collection, &id).is_ok() {
            let guideline = collection == "guidelines";
            return Err(if guideline { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::INTERNAL_SERVER_ERROR });
        }
        let mut entity = match collection {
            "agents" => json!({ "description": null, "composition_mode": "fluid", "tags": [] }),
            "guidelines" => json!({ "action": null, "enabled": true, "tags": [] }),
            _ => json!({ "tags": [] }),
        };
        merge(&mut entity, body);
        entity["id"] = json!(id);
        self.entities.insert((collection.to_owned(), id), entity.clone());
        Ok((StatusCode::CREATED, entity))
    }

    /// Reads, changes or deletes one.
    pub(super) fn entity(&mut self, method: &str, collection: &str, id: &str, body: Value) -> Answer {
        let key = (collection.to_owned(), id.to_owned());
        let entity = self.entities.get_mut(&key).ok_or(StatusCode::NOT_FOUND)?;
        match method {
            "DELETE" => {
                self.entities.remove(&key);
                return Ok((StatusCode::NO_CONTENT, Value::Null));
            }
            "PATCH" => merge(entity, body),
            _ => {}
        }
        let entity = entity.clone();
        let alone = collection == "guidelines";
        Ok((StatusCode::OK, if alone { json!({ "guideline": entity, "relationships": [] }) } else { entity }))
    }

    pub(super) fn count(&self, collection: &str) -> usize {
        self.all(collection).count()
    }

    fn all(&self, collection: &str) -> impl Iterator<Item = &Value> {
        self.entities.iter().filter(move |((found, _), _)| found == collection).map(|(_, entity)| entity)
    }

    pub(super) fn known(&self, collection: &str, id: &str) -> Result<(), StatusCode> {
        let known = self.entities.contains_key(&(collection.to_owned(), id.to_owned()));
        if known { Ok(()) } else { Err(StatusCode::NOT_FOUND) }
    }

    /// Whether a message there to the agent is answered; otherwise it is taken, and that is all.
    pub(super) fn answers(&self, session: &str, agent: &str) -> bool {
        let answers = |session: &Session| {
            let known = self.known("agents", agent).and_then(|()| self.known("customers", &session.customer_id));
            known.is_ok() && !session.manual
        };
        self.sessions.get(session).is_some_and(answers)
    }

    /// The guidelines that the agent follows, all of them: its own and those that are everybody's.
    pub(super) fn matched(&self, agent: &str) -> Value {
        let tag = format!("agent:{agent}");
        let everybodys = |guideline: &Value| guideline["tags"] == json!([]);
        let matched = self.all("guidelines").filter(|guideline| everybodys(guideline) || has(guideline, &tag));
        matched.map(|guideline| json!({ "id": guideline["id"] })).collect()
    }

    pub(super) fn open(&mut self, body: &Value) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (agent_id, customer_id) = (text("agent_id"), text("customer_id"));
        self.known("agents", &agent_id)?;
        let id = short_id();
        let answer = json!({ "id": id, "agent_id": agent_id, "customer_id": customer_id, "mode": "auto" });
        let session = Session { agent_id, customer_id, manual: false, events: Vec::new(), turn: None };
        self.sessions.insert(id, session);
        Ok((StatusCode::CREATED, answer))
    }

    /// Parlant does not look whether there is such an agent.
    pub(super) fn change(&mut self, id: &str, body: &Value) -> Answer {
        let session = self.session(id)?;
        if let Some(mode) = body["mode"].as_str() {
            session.manual = mode == "manual";
        }
        if let Some(agent) = body["agent_id"].as_str() {
            agent.clone_into(&mut session.agent_id);
        }
        Ok((StatusCode::OK, json!({ "id": id, "agent_id": session.agent_id })))
    }

    pub(super) fn close(&mut self, id: &str) -> Answer {
        self.sessions.remove(id).ok_or(StatusCode::NOT_FOUND)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    }

    /// Those of an agent, or all.
    pub(super) fn close_all(&mut self, query: &HashMap<String, String>) {
        let agent = query.get("agent_id");
        self.sessions.retain(|_, session| agent.is_some_and(|agent| *agent != session.agent_id));
    }

    pub(super) fn session(&mut self, id: &str) -> Result<&mut Session, StatusCode> {
        self.sessions.get_mut(id).ok_or(StatusCode::NOT_FOUND)
    }

    pub(super) fn events(&mut self, id: &str, query: &HashMap<String, String>) -> Result<Vec<Value>, StatusCode> {
        let from = query.get("min_offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let (kinds, source) = (query.get("kinds"), query.get("source"));
        let events = self.session(id)?.events.iter().skip(from);
        let of_kind = |event: &Value| kinds.is_none_or(|kinds| kinds.split(',').any(|kind| event["kind"] == *kind));
        let of_source = |event: &Value| source.is_none_or(|source| event["source"] == **source);
        Ok(events.filter(|event| of_kind(event) && of_source(event)).cloned().collect())
    }
}

impl Session {
    pub(super) fn emit(&mut self, trace: &str, source: &str, kind: &str, data: &Value, metadata: &Value) -> Value {
        let event = json!({
            "id": short_id(),
            "offset": self.events.len(),
            "trace_id": trace,
            "creation_utc": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "source": source,
            "kind": kind,
            "data": data,
            "metadata": metadata,
            "deleted": false,
        });
        self.events.push(event.clone());
        event
    }
}

fn has(entity: &Value, tag: &str) -> bool {
    entity["tags"].as_array().is_some_and(|tags| tags.iter().any(|found| found == tag))
}

/// Null is as good as not sent, and so is an empty text. Of tags, those to `remove` are named.
fn merge(entity: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { return };
    for (field, value) in changes {
        if let (Some(removed), Some(tags)) = (value["remove"].as_array(), entity[&field].as_array_mut()) {
            tags.retain(|tag| !removed.contains(tag));
        } else if !value.is_null() && value != "" {
            entity[field] = value;
        }
    }
}

/// As short as Parlant's, and as random.
fn short_id() -> String {
    Uuid::now_v7().simple().to_string().split_off(22)
}
