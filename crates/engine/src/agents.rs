use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::guideline::Guideline;
use crate::{Engine, Error};

/// Parlant's own limit, in characters.
const LONGEST_NAME: usize = 100;
/// No description: a change to an empty one, or to null, is passed over there.
const NOTHING: &str = " ";

/// What an agent is to be.
#[derive(Debug, Clone, Copy)]
pub struct AgentSpec<'a> {
    /// The bridge's id, and Parlant's.
    pub id: Uuid,
    /// Not empty. The model is told it, cut to 100 characters.
    pub name: &'a str,
    /// The model is told it.
    pub description: Option<&'a str>,
    /// Texts, and objects with `condition` and `action`; what else an object says is passed over.
    pub guidelines: &'a [Value],
}

impl Engine {
    /// Makes the agent and its guidelines in Parlant what they are to be, whatever they are. Asks two questions when
    /// nothing differs. Guidelines that carry the agent's tag and are none of its are removed.
    ///
    /// To be called before anything else that concerns the agent: a message to an agent that is not there is taken and
    /// never answered.
    pub async fn synchronise(&self, agent: &AgentSpec<'_>) -> Result<(), Error> {
        let id = agent.id.to_string();
        self.synchronise_agent(&id, agent).await?;
        self.synchronise_guidelines(&id, agent.guidelines).await
    }

    async fn synchronise_agent(&self, id: &str, agent: &AgentSpec<'_>) -> Result<(), Error> {
        let description = agent.description.filter(|text| !text.trim().is_empty());
        let mut wanted = Map::from_iter([
            ("name".to_owned(), json!(shortened(agent.name))),
            ("description".to_owned(), json!(description.unwrap_or(NOTHING))),
            ("composition_mode".to_owned(), json!(self.composition_mode())),
        ]);
        let found = match self.get(&["agents", id], &[]).await {
            Err(Error::NotFound) => {
                let mut body = wanted.clone();
                body.insert("id".to_owned(), json!(id));
                self.create("agents", id, &body.into()).await?
            }
            found => found?,
        };
        wanted.retain(|field, value| found[&**field].as_str().unwrap_or(NOTHING) != *value);
        if !wanted.is_empty() {
            self.patch(&["agents", id], &wanted.into()).await?;
        }
        Ok(())
    }

    async fn synchronise_guidelines(&self, agent: &str, written: &[Value]) -> Result<(), Error> {
        let tag = tag(agent);
        let wanted = written.iter().filter_map(|written| Guideline::new(agent, written));
        let mut missing: BTreeMap<_, _> = wanted.map(|guideline| (guideline.id.clone(), guideline)).collect();
        let mut removed = 0;
        for (id, found) in self.guidelines(&tag).await? {
            if missing.get(&id).is_some_and(|wanted| wanted.is(&found, &tag)) {
                missing.remove(&id);
            } else {
                self.delete(&["guidelines", &id], &[]).await?;
                removed += 1;
            }
        }
        for (id, guideline) in &missing {
            let body = guideline.body(&tag);
            let made = self.create("guidelines", id, &body).await?;
            // Read alone, a guideline comes with its relationships.
            if !guideline.is(made.get("guideline").unwrap_or(&made), &tag) {
                // Somebody took its tag away, and made it everybody's.
                self.delete(&["guidelines", id], &[]).await?;
                self.create("guidelines", id, &body).await?;
            }
        }
        if removed + missing.len() > 0 {
            tracing::info!(agent, removed, created = missing.len(), "Changed an agent's guidelines in the engine");
        }
        Ok(())
    }

    /// Removes the agent with its sessions and guidelines. That there is none is fine.
    pub async fn remove_agent(&self, id: Uuid) -> Result<(), Error> {
        let id = id.to_string();
        // Without the agent in the query, this would be every session of the server.
        self.delete(&["sessions"], &[("agent_id", &id)]).await?;
        for (guideline, _) in self.guidelines(&tag(&id)).await? {
            self.delete(&["guidelines", &guideline], &[]).await?;
        }
        self.delete(&["agents", &id], &[]).await
    }

    /// What carries the tag, each with its id.
    async fn guidelines(&self, tag: &str) -> Result<Vec<(String, Value)>, Error> {
        let Value::Array(found) = self.get(&["guidelines"], &[("tag_id", tag)]).await? else {
            return Err(Error::garbage());
        };
        let id = |guideline: &Value| guideline["id"].as_str().map(str::to_owned);
        found
            .into_iter()
            .map(|guideline| Some((id(&guideline)?, guideline)))
            .collect::<Option<_>>()
            .ok_or(Error::garbage())
    }
}

/// What confines a thing to the agent.
fn tag(agent: &str) -> String {
    format!("agent:{agent}")
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(shortened(&"ü".repeat(100)), "ü".repeat(100));
        assert_eq!(shortened(&"ü".repeat(101)), "ü".repeat(99) + "…");
    }
}
