//! Sim's web application, where the bridge has to do with it.

use std::time::Duration;

use serde_json::Value;

use crate::doctor::http::{Answer, Silence, get};
use crate::doctor::kinds::{CLOCK_SIM, SIM_ERROR, SIM_UNREACHABLE, SIM_WRONG_SHAPE};
use crate::doctor::sheet::Sheet;
use crate::doctor::{Config, Finding, Kind, Severity, clock};

const PATIENCE: Duration = Duration::from_secs(5);
/// Asked without a cookie, it answers 200 and `null`.
const GET_SESSION: &str = "/api/auth/get-session?disableCookieCache=true&disableRefresh=true";

/// Where Sim is, and how much depends on it.
#[derive(Debug)]
pub(crate) struct Sim {
    /// Without the slash at its end.
    pub(crate) base_url: String,
    pub(crate) health_path: String,
    /// Sessions are looked up there.
    pub(crate) needed: bool,
}

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let Some(sim) = &config.sim else {
        sheet.skip("sim", "SIM_BASE_URL is not set, and sessions are looked up in Sim's tables");
        return sheet;
    };
    let health = format!("{}/{}", sim.base_url, sim.health_path.trim_start_matches('/'));
    let session = format!("{}{GET_SESSION}", sim.base_url);
    let (health, session) = tokio::join!(get(&health, None, PATIENCE), get(&session, None, PATIENCE));
    if let Ok(Answer { date: Some(date), took, .. }) = &health {
        clock::compare(&mut sheet, &CLOCK_SIM, "Sim's", *date, *took);
    }
    let severity = if sim.needed { Severity::Broken } else { Severity::Warning };
    let told = |kind: Kind, summary: &str| -> Finding { kind.found(severity, summary.to_owned()) };
    // By its name: an address may hold a password.
    let curl = |path: &str| format!("curl -si --max-time 5 \"${{SIM_BASE_URL:-http://localhost:3000}}{path}\"");
    let path = sim.health_path.as_str();
    let finding = match (health, session) {
        (Err(silence), _) => Some(unreachable(told(SIM_UNREACHABLE, "Sim does not answer"), &silence).mend(curl(path))),
        (Ok(answer), _) if answer.status >= 500 => {
            let finding = told(SIM_ERROR, "Sim answers with errors");
            Some(finding.evidence(format!("{path}: status {}", answer.status)).mend(curl(path)))
        }
        (Ok(answer), _) if !is_health(&answer) => {
            let finding = told(SIM_WRONG_SHAPE, "What answers there is not Sim, or another version of it");
            Some(finding.evidence(format!("{path}: {}", shape(&answer))).mend(curl(path)))
        }
        (_, Err(silence)) => Some(
            unreachable(told(SIM_UNREACHABLE, "Sim does not answer about sessions"), &silence).mend(curl(GET_SESSION)),
        ),
        (_, Ok(answer)) if answer.status >= 500 => {
            let finding = told(SIM_ERROR, "Sim answers about sessions with errors");
            Some(finding.evidence(format!("get-session: status {}", answer.status)).mend(curl(GET_SESSION)))
        }
        (_, Ok(answer)) if !is_nobody(&answer) => {
            let finding = told(SIM_WRONG_SHAPE, "Sim answers about sessions in another way than it used to");
            Some(finding.evidence(format!("get-session: {}", shape(&answer))).mend(curl(GET_SESSION)))
        }
        _ => None,
    };
    sheet.findings.extend(finding);
    sheet
}

fn unreachable(finding: Finding, silence: &Silence) -> Finding {
    finding.evidence(silence.to_string())
}

/// Any JSON object that says how it is: another path than Sim's own may have been configured.
fn is_health(answer: &Answer) -> bool {
    answer.status == 200
        && serde_json::from_slice::<Value>(&answer.body)
            .is_ok_and(|body| body["status"].is_string() || body["ok"].is_boolean())
}

/// 429 is Sim's answer to somebody else's questions, and says that it is Sim.
fn is_nobody(answer: &Answer) -> bool {
    answer.status == 429 || answer.status == 200 && answer.body.trim_ascii() == b"null"
}

/// Without the text, which is somebody else's.
fn shape(answer: &Answer) -> String {
    let kind = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(Value::Object(_)) => "a JSON object that was not expected",
        Ok(_) => "other JSON than expected",
        Err(_) => "no JSON",
    };
    format!("status {}, {kind}, {} bytes", answer.status, answer.body.len())
}
