//! What becomes of a credential, and of a workspace that its bearer wants to enter.

use std::sync::Arc;
use std::time::Duration;

use parlant_admission::{Sessions, SimTables};
use parlant_auth_bridge::{AuthBridge, Credential, DatabaseSource, Grants, Outcome, Source, Verdict};
use parlant_db_pool::{self as db_pool, Pool};
use parlant_settings::ExposeSecret as _;

use crate::doctor::Config;
use crate::doctor::kinds::{KINDS, TOKEN_UNVERIFIABLE, WORKSPACE_ARCHIVED, WORKSPACE_DENIED, WORKSPACE_MISSING};
use crate::doctor::sheet::Sheet;

/// The most that a connection may take here.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let Some(token) = &config.token else {
        let reason = "none is given: PARLANT_TOKEN, PARLANT_TOKEN_FILE or --token-file";
        sheet.skip("token", reason);
        sheet.skip("workspace", reason);
        return sheet;
    };
    let credential = Credential::from_bearer(token.expose_secret());
    // What is wrong with the settings is told as such.
    let Some((bridge, tables)) = bridge(config) else { return sheet };
    let told = bridge.explain(&credential).await;
    let steps = told.steps.iter().map(|step| format!("{}: {}, {}", step.step, step.outcome.as_str(), step.detail));
    let steps: Vec<_> = steps.map(|step| step.trim_end_matches([',', ' ']).to_owned()).collect();
    let last = told.steps.last().map(|step| step.detail.clone()).unwrap_or_default();
    match told.verdict {
        Outcome::Passed | Outcome::Noted => {}
        Outcome::Refused => {
            // The reasons of the auth bridge are ids here; a test holds one list against the other.
            let kind = KINDS.iter().find(|kind| kind.id.strip_prefix("token.") == Some(&last));
            let kind = kind.unwrap_or(&TOKEN_UNVERIFIABLE);
            sheet.find(kind.broken("The token is refused").evidences(steps).mend(mend(kind.id)));
            return sheet;
        }
        Outcome::Unknown => {
            let finding = TOKEN_UNVERIFIABLE.broken("Nobody can say whether the token is good").evidences(steps);
            sheet.find(finding.mend(mend(TOKEN_UNVERIFIABLE.id)));
            return sheet;
        }
    }
    match &config.workspace {
        Some(workspace) => enter(&bridge, tables.as_deref(), &credential, workspace, &mut sheet).await,
        None => sheet.skip("workspace", "none is named: --workspace ID"),
    }
    sheet
}

/// As the server has it, but that nothing is kept.
fn bridge(config: &Config) -> Option<(AuthBridge, Option<Arc<DatabaseSource>>)> {
    let (source, tables): (Arc<dyn Source>, _) = match &config.auth.sessions {
        Sessions::Http(source) => (source.clone()?, None),
        Sessions::Database(elsewhere) => {
            let database = elsewhere.as_deref().unwrap_or(&config.database);
            let connection_timeout = database.connection_timeout.min(PATIENCE);
            let few = db_pool::Config { pool_size: 0, max_overflow: 2, connection_timeout, ..database.clone() };
            let tables = Arc::new(DatabaseSource::new(SimTables(Pool::new(&few).ok()?)));
            (Arc::clone(&tables) as _, Some(tables))
        }
    };
    Some((config.auth.bridge(source).ok()?, tables))
}

/// Whether the bearer may enter, by which rule.
async fn enter(
    bridge: &AuthBridge,
    tables: Option<&DatabaseSource>,
    credential: &Credential,
    workspace: &str,
    sheet: &mut Sheet,
) {
    let Verdict::Valid(identity) = bridge.authenticate(credential).await else {
        return sheet.skip("workspace", "the token was good a moment ago, and is no more");
    };
    if identity.workspaces.iter().any(|entered| entered.id == workspace) {
        return;
    }
    let user = &identity.user.id;
    let members = format!("user {user} may enter {} workspaces, and this is none of them", identity.workspaces.len());
    let in_sim = "# in Sim, as an admin of the workspace: Settings, Teammates, invite";
    let denied = || WORKSPACE_DENIED.broken("The user may not enter the workspace").evidence(&*members).mend(in_sim);
    let Some(tables) = tables else {
        // Over HTTP, Sim tells who may enter what and not why.
        return sheet.find(denied());
    };
    let finding = match tables.grants(user, workspace).await {
        Err(_) => return sheet.skip("workspace", "Sim's tables cannot be asked"),
        Ok(None) => WORKSPACE_MISSING
            .broken("There is no such workspace")
            .mend("parlant-ops doctor --workspace ID   # the id is in the address of Sim's pages"),
        Ok(Some(Grants { archived: true, .. })) => WORKSPACE_ARCHIVED
            .broken("The workspace is archived")
            .mend("# in Sim: restore the workspace, or use another one"),
        Ok(Some(Grants { permission, organization_role, .. })) => {
            let rule = |rule: &str, found: Option<String>| format!("{rule}: {}", found.as_deref().unwrap_or("none"));
            denied()
                .evidence(rule("permission that somebody gave", permission))
                .evidence(rule("role in the workspace's organization (owner and admin would do)", organization_role))
        }
    };
    sheet.find(finding);
}

fn mend(id: &str) -> &'static str {
    match id {
        "token.malformed" | "token.unsigned" => {
            "# copy the whole value of the cookie better-auth.session_token, or a JWT"
        }
        "token.unsupported" => "parlant-server check-config | grep -E '^(AUTH_SOURCE|BETTER_AUTH_SECRET|JWT_)'",
        "token.bad_signature" => {
            "parlant-server check-config | grep -E '^(BETTER_AUTH_SECRET|JWT_)'   # the one that Sim has?"
        }
        "token.banned" => "# in Sim, as an administrator: lift the ban",
        "token.unknown_key" | "token.bad_claims" | "token.unknown_user" => {
            "parlant-server check-config | grep -E '^JWT_'   # and have the issuer make a new one"
        }
        "token.unverifiable" => "parlant-ops doctor --only database,sim",
        _ => "# sign in to Sim again",
    }
}

#[cfg(test)]
mod tests {
    use parlant_auth_bridge::Reason;

    use super::*;

    #[test]
    fn every_reason_of_a_refusal_is_a_kind_of_finding() {
        for reason in Reason::ALL {
            let id = format!("token.{reason}");
            assert!(KINDS.iter().any(|kind| kind.id == id), "{id}");
        }
    }
}
