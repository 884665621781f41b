//! Notices as payloads of `NOTIFY`: a line that says which process sent them, then one line of JSON for each.

use std::sync::Arc;

use parlant_db_pool::Notifier;
use uuid::Uuid;

use super::{Notice, Signal};

/// In place of a notice that could not be sent: no JSON.
const LOST: &str = "?";

/// As few payloads as hold all of these, none longer than a payload may be. `incomplete`: there were more.
pub(super) fn pack(origin: Uuid, notices: &[Arc<Notice>], incomplete: bool) -> Vec<String> {
    let head = origin.to_string();
    let line = |notice: &Arc<Notice>| {
        let line = serde_json::to_string(&**notice).unwrap_or_default();
        // Ids of workspaces and users are opaque text: nothing is known of their length.
        let fits = !line.is_empty() && head.len() + 1 + line.len() <= Notifier::PAYLOAD_LIMIT;
        if fits { line } else { LOST.to_owned() }
    };
    let mut payloads: Vec<String> = Vec::new();
    for line in notices.iter().map(line).chain(incomplete.then(|| LOST.to_owned())) {
        match payloads.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= Notifier::PAYLOAD_LIMIT => last.extend(["\n", &line]),
            _ => payloads.push(format!("{head}\n{line}")),
        }
    }
    payloads
}

/// What a payload says, unless it is one's own. What is not understood, perhaps because another version says it, was
/// missed.
pub(super) fn unpack(origin: Uuid, payload: &str) -> Vec<Signal> {
    let (from, lines) = payload.split_once('\n').unwrap_or((payload, LOST));
    if Uuid::try_parse(from) == Ok(origin) {
        return Vec::new();
    }
    let read = |line| serde_json::from_str(line).map_or(Signal::Missed, |notice| Signal::Notice(Arc::new(notice)));
    lines.lines().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TurnStatus, What};

    fn notice(workspace_id: String, what: What) -> Arc<Notice> {
        let (session_id, agent_id) = (Uuid::now_v7(), Uuid::now_v7());
        Arc::new(Notice { workspace_id, user_id: "user\n1".into(), session_id, agent_id, what })
    }

    #[test]
    fn what_is_packed_is_unpacked_elsewhere_in_order_and_ignored_at_home() {
        let (home, elsewhere) = (Uuid::now_v7(), Uuid::now_v7());
        let mut notices: Vec<_> =
            (0..500).map(|offset| notice(format!("w{offset}"), What::Message { offset })).collect();
        let others = [What::Status(TurnStatus::Typing), What::SessionStarted, What::SessionEnded];
        notices.extend(others.map(|what| notice("w".repeat(3000), what)));
        let payloads = pack(home, &notices, false);
        assert!(payloads.len() < 20, "{}", payloads.len());
        assert!(payloads.iter().all(|payload| payload.len() <= Notifier::PAYLOAD_LIMIT));
        let there: Vec<_> = payloads.iter().flat_map(|payload| unpack(elsewhere, payload)).collect();
        assert_eq!(there, notices.into_iter().map(Signal::Notice).collect::<Vec<_>>());
        assert!(payloads.iter().all(|payload| unpack(home, payload).is_empty()));
        assert!(pack(home, &[], false).is_empty());
    }

    #[test]
    fn what_cannot_be_told_is_missed() {
        let (home, elsewhere) = (Uuid::now_v7(), Uuid::now_v7());
        let notices = [8000, 1].map(|length| notice("w".repeat(length), What::SessionEnded));
        let payloads = pack(home, &notices, true);
        let there: Vec<_> = payloads.iter().flat_map(|payload| unpack(elsewhere, payload)).collect();
        assert_eq!(there, [Signal::Missed, Signal::Notice(Arc::clone(&notices[1])), Signal::Missed]);
        for strange in ["", "nonsense", "nonsense\n{\"what\":\"news\"}", &format!("{home}")] {
            assert_eq!(unpack(elsewhere, strange), [Signal::Missed], "{strange}");
        }
    }
}
