use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::rt;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::world::{Session, Turn};
use super::{ANSWER_LOST, Answer, PREFIX, Shared};
use crate::sessions::MESSAGE_ID;

/// How long after it took a message Parlant may look whether anybody wants an answer.
const LATE: Duration = Duration::from_millis(5);

/// Takes a message, and begins to answer it if a customer sent it.
pub(super) fn post(shared: &Arc<Shared>, id: &str, body: &Value) -> Answer {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (source, message) = (text("source"), text("message"));
    if message.is_empty() || text("kind") != "message" {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let mut world = shared.world();
    let agent = world.session(id)?.agent_id.clone();
    if source != "customer" {
        // It speaks in the place of the agent, who must exist.
        world.known("agents", &agent)?;
    }
    let trace = Uuid::now_v7().simple().to_string();
    let session = world.session(id)?;
    let data = json!({ "message": message, "participant": { "display_name": source } });
    let event = session.emit(&trace, source, "message", &data, &body["metadata"]);
    if source == "customer" {
        begin(shared, session, id, agent, trace, message.to_owned());
    }
    drop(world);
    shared.changes.send_replace(());
    let message_id = body["metadata"][MESSAGE_ID].as_str().and_then(|id| id.parse().ok());
    if let Some(message_id) = message_id {
        shared.posted().push(message_id);
        if shared.take(|switches| &mut switches.lost_answers) {
            return Ok((ANSWER_LOST, Value::Null));
        }
    }
    Ok((StatusCode::CREATED, event))
}

/// Another message ends the turn under way.
fn begin(shared: &Arc<Shared>, session: &mut Session, id: &str, agent: String, trace: String, message: String) {
    if let Some(Turn { trace, task, begun }) = session.turn.take().filter(|turn| !turn.task.is_finished()) {
        task.abort();
        if begun {
            let ready = json!({ "status": "ready", "data": { "stage": "completed" } });
            for data in [json!({ "status": "cancelled", "data": {} }), ready] {
                session.emit(&trace, "ai_agent", "status", &data, &json!({}));
            }
        }
    }
    let turn = rt::spawn(answer(Arc::clone(shared), id.to_owned(), agent, trace.clone(), message));
    session.turn = Some(Turn { trace, task: turn.abort_handle(), begun: false });
}

/// A turn, in the order of Parlant's. Ends early when the session is gone.
async fn answer(shared: Arc<Shared>, id: String, agent: String, trace: String, message: String) -> Option<()> {
    sleep(LATE).await;
    if !shared.world().answers(&id, &agent) {
        return None;
    }
    let failing = shared.take(|switches| &mut switches.failing_turns);
    let pause = shared.switches.borrow().pause;
    let emit = async |kind: &str, data: Value| {
        shared.calm().await;
        let mut world = shared.world();
        let session = world.session(&id).ok()?;
        session.emit(&trace, "ai_agent", kind, &data, &json!({}));
        session.turn.as_mut()?.begun = true;
        shared.changes.send_replace(());
        Some(())
    };
    let status = async |status: &str, data: Value| emit("status", json!({ "status": status, "data": data })).await;
    status("acknowledged", json!({})).await?;
    status("processing", json!({ "stage": "Interpreting" })).await?;
    let matched = shared.world().matched(&agent);
    if !failing {
        status("typing", json!({})).await?;
        sleep(pause).await;
        let participant = json!({ "id": agent, "display_name": "Echo" });
        emit("message", json!({ "message": format!("{PREFIX}{message}"), "participant": participant })).await?;
    }
    let completed = json!({ "stage": "completed", "matched_guidelines": matched, "matched_journeys": [] });
    status("ready", completed).await?;
    if failing {
        // As Parlant does, after the end and with more than anybody should see.
        let exception = format!("Traceback (most recent call last): the model was told to fail at {message:?}");
        status("error", json!({ "exception": exception })).await?;
    }
    Some(())
}
