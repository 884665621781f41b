//! What became of a credential, step by step, for the one who wonders.

use std::fmt;
use std::time::Instant;

use chrono::Utc;
use serde::Serialize;

use crate::cache::{Memory, is_live};
use crate::credential::Form;
use crate::{AuthBridge, Credential, Permission, Reason, Refusal, Workspace};

/// How a credential is judged, made by [`AuthBridge::explain`]. It can be shown and stored: it holds nothing of the
/// credential, no digest of it, and of the user nothing but the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What the source says now.
    pub verdict: Outcome,
    /// What was looked at, in order. The last one decided.
    pub steps: Vec<Step>,
}

/// One step on the way to a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was looked at: `form`, `signature`, `cache`, `source`, `ban`, `expiry` or `workspaces`.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// In words, for people.
    pub detail: String,
}

/// What came of a step, or of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It decides nothing.
    Noted,
    /// The credential is worth nothing.
    Refused,
    /// It could not be found out.
    Unknown,
}

impl Outcome {
    /// As it is serialized.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Noted => "noted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// A line for each step.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |Step { step, outcome, detail }: &Step| format!("{step:<10} {:<8} {detail}\n", outcome.as_str());
        f.write_str(&self.steps.iter().map(line).collect::<String>())
    }
}

impl AuthBridge {
    /// Judges a credential once more and says how. The source is asked whatever is remembered; nothing is counted, and
    /// what it answers is not remembered.
    pub async fn explain(&self, credential: &Credential) -> Explanation {
        let mut told = Explanation { verdict: Outcome::Passed, steps: Vec::new() };
        let _stopped = self.walk(credential, &mut told).await;
        told
    }

    /// Ends early, as soon as a step refuses.
    async fn walk(&self, credential: &Credential, told: &mut Explanation) -> Option<()> {
        let bridge = &*self.inner;
        let form = told.step("form", credential.form(), |form| {
            let carrier = credential.carrier().cookie_name().unwrap_or("Authorization: Bearer");
            format!("{} in {carrier}", form.name())
        })?;
        let checked = told.step("signature", bridge.check(credential).await, |_| {
            let text = match form {
                Form::Jwt => "it holds, and so do the claims",
                Form::Raw => "a raw token has none",
                Form::Signed(_) if bridge.signer.is_none() => "not checked, for want of BETTER_AUTH_SECRET",
                Form::Signed(_) => "it holds",
            };
            text.to_owned()
        })?;
        let was_checked = matches!((form, &bridge.signer), (Form::Jwt, _) | (Form::Signed(_), Some(_)));
        if let Some(step) = told.steps.last_mut().filter(|_| !was_checked) {
            step.outcome = Outcome::Noted;
        }
        let remembered = match bridge.cache.peek(&bridge.key(credential).ok()?) {
            Memory::Fresh(_) => "valid".to_owned(),
            Memory::Stale(_) => "was valid, and is to be asked about again".to_owned(),
            Memory::Refused(reason) => format!("refused: {reason}"),
            Memory::Nothing => "nothing is remembered".to_owned(),
        };
        told.push("cache", Outcome::Noted, remembered);
        let start = Instant::now();
        let answer = bridge.find(checked, credential).await;
        let answered = format!("{} answered in {} ms", bridge.source.label(), start.elapsed().as_millis());
        let identity = match answer {
            Err(Refusal::Invalid(reason @ (Reason::Banned | Reason::Expired))) => {
                told.push("source", Outcome::Passed, answered);
                let step = if reason == Reason::Banned { "ban" } else { "expiry" };
                return told.step(step, Err(reason), |()| String::new());
            }
            answer => told.step("source", answer, |identity| format!("{answered}: user {}", identity.user.id))?,
        };
        told.push("ban", Outcome::Passed, "not banned".to_owned());
        let expires_at = identity.session.expires_at;
        let live = if is_live(&identity, Utc::now()) { Ok(()) } else { Err(Reason::Expired) };
        told.step("expiry", live, |()| format!("valid until {expires_at}"))?;
        told.push("workspaces", Outcome::Passed, counted(&identity.workspaces));
        Some(())
    }
}

impl Explanation {
    fn push(&mut self, step: &'static str, outcome: Outcome, detail: String) {
        self.steps.push(Step { step, outcome, detail });
    }

    /// The value, unless that decides it.
    fn step<T>(
        &mut self,
        step: &'static str,
        result: Result<T, impl Into<Refusal>>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (outcome, detail, value) = match result.map_err(Into::into) {
            Ok(value) => (Outcome::Passed, detail(&value), Some(value)),
            Err(Refusal::Invalid(reason)) => (Outcome::Refused, reason.to_string(), None),
            Err(Refusal::Unknown(cause)) => (Outcome::Unknown, cause.to_string(), None),
        };
        self.verdict = outcome;
        self.push(step, outcome, detail);
        value
    }
}

/// How many there are of each permission.
fn counted(workspaces: &[Workspace]) -> String {
    let with = |permission| workspaces.iter().filter(|workspace| workspace.permission == permission).count();
    let [read, write, admin] = [Permission::Read, Permission::Write, Permission::Admin].map(with);
    format!("{} in all: {admin} to administer, {write} to write, {read} to read", workspaces.len())
}
