use serde_json::{Value, json};

use crate::hashed;

/// Under which a guideline without a condition holds. The model reads it.
const ALWAYS: &str = "Always, whatever the customer says";

/// What an agent is to do, and when. Its id is made of the agent and of what it says: another text is another
/// guideline, and no two agents share one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Guideline {
    pub(crate) id: String,
    condition: String,
    /// None observes that the condition holds, and does nothing about it.
    action: Option<String>,
}

impl Guideline {
    /// The guideline as clients write it: a text, or an object with `condition` and `action`. None when it says
    /// nothing, or is not `enabled`; Parlant has no way to make one that is not.
    pub(crate) fn new(agent: &str, written: &Value) -> Option<Self> {
        let field = |name: &str| text(&written[name]);
        let (condition, action) =
            if written.is_object() { (field("condition"), field("action")) } else { (None, text(written)) };
        if written["enabled"] == false || condition.is_none() && action.is_none() {
            return None;
        }
        let condition = condition.unwrap_or(ALWAYS);
        let kind = if action.is_some() { "action" } else { "observation" };
        let id = hashed([agent, kind, condition, action.unwrap_or_default()]);
        Some(Self { id, condition: condition.to_owned(), action: action.map(str::to_owned) })
    }

    /// What makes it, for the agent of the `tag` alone.
    pub(crate) fn body(&self, tag: &str) -> Value {
        json!({ "id": self.id, "condition": self.condition, "action": self.action, "tags": [tag] })
    }

    /// Whether what Parlant has is this one, for the agent of the `tag` and nobody else.
    pub(crate) fn is(&self, found: &Value, tag: &str) -> bool {
        found["id"] == *self.id
            && found["condition"] == *self.condition
            && text(&found["action"]) == self.action.as_deref()
            && found["enabled"] != false
            && found["tags"] == json!([tag])
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_always_and_an_object_says_when() {
        let text = Guideline::new("a", &json!("Be kind")).unwrap();
        assert_eq!((&*text.condition, text.action.as_deref()), (ALWAYS, Some("Be kind")));
        let object = Guideline::new("a", &json!({ "condition": "it rains", "action": "Be kind", "tone": 1 })).unwrap();
        assert_eq!((&*object.condition, object.action.as_deref()), ("it rains", Some("Be kind")));
        let observation = Guideline::new("a", &json!({ "condition": "it rains" })).unwrap();
        assert_eq!((&*observation.condition, observation.action), ("it rains", None));
        assert_eq!(Guideline::new("a", &json!({ "action": "Be kind" })), Some(text));
    }

    #[test]
    fn what_says_nothing_is_none() {
        for nothing in [json!(" "), json!({}), json!({ "name": "x" }), json!({ "condition": "", "action": "\n" })] {
            assert_eq!(Guideline::new("a", &nothing), None, "{nothing}");
        }
        assert_eq!(Guideline::new("a", &json!({ "action": "Be kind", "enabled": false })), None);
    }

    #[test]
    fn another_agent_or_text_is_another_guideline() {
        let written =
            [json!("Be kind"), json!({ "condition": "Be kind" }), json!({ "condition": "Be", "action": "kind" })];
        let ids = ["a", "b"].map(|agent| written.clone().map(|text| Guideline::new(agent, &text).unwrap().id)).concat();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), 6);
        assert_eq!(ids[0], Guideline::new("a", &json!("Be kind")).unwrap().id);
    }

    #[test]
    fn what_was_changed_by_hand_is_not_it_any_more() {
        let guideline = Guideline::new("a", &json!("Be kind")).unwrap();
        let found = guideline.body("agent:a");
        assert!(guideline.is(&found, "agent:a"));
        for (field, value) in [
            ("condition", json!("never")),
            ("action", Value::Null),
            ("enabled", json!(false)),
            ("tags", json!([])),
            ("tags", json!(["agent:a", "agent:b"])),
        ] {
            let mut changed = found.clone();
            changed[field] = value;
            assert!(!guideline.is(&changed, "agent:a"), "{field}");
        }
    }
}
