//! The running server: whether it answers, and what it sees that cannot be seen from here.

mod listening;
mod numbers;

use std::net::SocketAddr;
use std::time::Duration;

use parlant_metrics::Snapshot;
use parlant_settings::{ExposeSecret as _, Secret};
use serde_json::Value;

use crate::doctor::http::{Answer, Silence, get};
use crate::doctor::kinds::{
    SERVER_AUTH_CACHE, SERVER_DATABASE, SERVER_DISK, SERVER_DOWN, SERVER_DRAINING, SERVER_ENGINE, SERVER_MEMORY,
    SERVER_METRICS_REFUSED, SERVER_POOL_FULL, SERVER_PORT_TAKEN, SERVER_SCHEMA, SERVER_SILENT, SERVER_SIM,
    SERVER_VERSION,
};
use crate::doctor::sheet::Sheet;
use crate::doctor::{Config, Finding, Kind, Severity};

const PATIENCE: Duration = Duration::from_secs(5);
/// A fresh look takes as long as the slowest of the server's own checks, which end after 6 seconds.
const REPORT_PATIENCE: Duration = Duration::from_secs(9);
/// What the server calls itself.
const SERVICE: &str = "parlant-server";

/// Where the server should be, and how it is asked.
#[derive(Debug)]
pub(crate) struct Server {
    /// With loopback in the place of "every address".
    pub(crate) address: SocketAddr,
    /// Whether `/metrics` should answer.
    pub(crate) metrics: bool,
    pub(crate) metrics_token: Option<Secret>,
}

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let server = &config.server;
    if server.address.port() == 0 {
        sheet.skip("server", "PORT is 0: the server may be anywhere; name its port");
        return sheet;
    }
    let address = format!("http://{}", server.address);
    let alive = match get(&format!("{address}/livez"), None, PATIENCE).await {
        Ok(answer) => answer,
        Err(silence) => {
            sheet.find(silent(server.address, &silence).evidence(format!("{}: {silence}", server.address)));
            return sheet;
        }
    };
    let said: Value = serde_json::from_slice(&alive.body).unwrap_or_default();
    if said["service"] != SERVICE {
        let finding = SERVER_PORT_TAKEN.broken(format!("Something else listens on port {}", server.address.port()));
        let finding =
            finding.evidence(format!("/livez answers with status {}, and not as the server does", alive.status));
        sheet.find(taken(finding, server.address));
        return sheet;
    }
    version(&said, &mut sheet);
    let (health, report) = (format!("{address}/health"), format!("{address}/api/v1/health/detailed?fresh=true"));
    let (health, report, metrics) =
        tokio::join!(get(&health, None, PATIENCE), get(&report, None, REPORT_PATIENCE), metrics(server, &address));
    if health.is_ok_and(|answer| json(&answer)["status"] == "draining") {
        sheet.find(
            SERVER_DRAINING
                .warning("The server is being stopped, and takes no new requests")
                .mend("systemctl status parlant-server"),
        );
    }
    match report {
        Ok(answer) => seen(&json(&answer), &mut sheet),
        Err(silence) => sheet.skip("server", format!("of what it sees itself: {silence}")),
    }
    match metrics {
        Ok(Some(numbers)) => numbers::judge(config, &numbers, &mut sheet),
        Ok(None) => sheet.skip("server", "of its numbers: /metrics is off or does not answer"),
        Err(finding) => sheet.find(finding),
    }
    sheet
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Nobody, or somebody who says nothing.
fn silent(address: SocketAddr, silence: &Silence) -> Finding {
    match silence {
        Silence::NoConnection(_) => SERVER_DOWN
            .broken(format!("No server listens on port {}", address.port()))
            .mend("systemctl status parlant-server; journalctl -u parlant-server -n 50"),
        // What is no HTTP is not the server's.
        Silence::Broken(_) => {
            taken(SERVER_PORT_TAKEN.broken(format!("Something else listens on port {}", address.port())), address)
        }
        Silence::Timeout => {
            let finding = SERVER_SILENT.broken("The server takes connections and does not answer");
            let finding = finding.evidences(listening::on(address.port()).into_iter().map(|holder| holder.told()));
            finding.mend("parlant-ops restart --help; journalctl -u parlant-server -n 50")
        }
    }
}

fn taken(finding: Finding, address: SocketAddr) -> Finding {
    let holders = listening::on(address.port());
    let finding = finding.evidences(holders.iter().map(listening::Holder::told));
    finding.mend(match holders.first() {
        Some(holder) => format!("ps -o pid,user,lstart,comm -p {}   # stop it, or set another PORT", holder.pid),
        None => format!("ss -ltnp 'sport = :{}'   # as root; stop it, or set another PORT", address.port()),
    })
}

fn version(said: &Value, sheet: &mut Sheet) {
    let (theirs, ours) = (said["version"].as_str().unwrap_or_default(), env!("CARGO_PKG_VERSION"));
    if theirs != ours {
        let finding = SERVER_VERSION.warning("The running server is of another version than what is installed");
        let plain =
            theirs.len() <= 40 && theirs.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
        let finding = finding.evidence(format!("{} runs, {ours} is here", if plain { theirs } else { "something" }));
        sheet.find(finding.mend("parlant-ops restart"));
    }
}

/// What it sees of what it depends on. What can be seen from here as well explains it.
fn seen(report: &Value, sheet: &mut Sheet) {
    let checks: [(&str, Kind, &str); 7] = [
        ("database", SERVER_DATABASE, "The server is at odds with its database"),
        ("sim_api", SERVER_SIM, "The server is at odds with Sim"),
        ("engine", SERVER_ENGINE, "The server is at odds with the engine"),
        ("migrations", SERVER_SCHEMA, "The server is at odds with the schema"),
        ("memory", SERVER_MEMORY, "The server uses most of the memory that it may have"),
        ("disk_space", SERVER_DISK, "A file system that the server sees is nearly full"),
        ("auth_cache", SERVER_AUTH_CACHE, "The server's session cache hardly helps"),
    ];
    for (name, kind, summary) in checks {
        let check = &report["checks"][name];
        let status = check["status"].as_str().unwrap_or("healthy");
        if status == "healthy" {
            continue;
        }
        let pool = &check["details"]["pool_stats"];
        let number = |field: &str| pool[field].as_i64().unwrap_or_default();
        let full = name == "database" && number("waiting") > 0 && number("active") >= number("max");
        let severity = if status == "unhealthy" { Severity::Broken } else { Severity::Warning };
        let finding = if full {
            let told =
                format!("{} of {} connections in use, {} wait", number("active"), number("max"), number("waiting"));
            SERVER_POOL_FULL.broken("The server's pool is full, and a connection from here works").evidence(told)
        } else {
            kind.found(severity, summary.to_owned())
        };
        let error = check["error"].as_str().unwrap_or("no more is told to strangers (HEALTH_DETAILS)");
        let finding = finding.evidence(format!("it says that {name} is {status}: {error}"));
        let finding = match name {
            "memory" => {
                finding.evidence(format!("{} MB of {} MB", check["details"]["rss_mb"], check["details"]["limit_mb"]))
            }
            _ => finding,
        };
        sheet.find(finding.mend(match name {
            "memory" => "systemctl show parlant-server -p MemoryMax,MemoryCurrent; parlant-ops restart",
            "disk_space" => "df -h; df -i",
            "auth_cache" => "parlant-server check-config | grep CACHE",
            _ => "journalctl -u parlant-server -n 50; parlant-server check-config",
        }));
    }
}

/// Its numbers; none where they are not offered.
async fn metrics(server: &Server, address: &str) -> Result<Option<Snapshot>, Finding> {
    if !server.metrics {
        return Ok(None);
    }
    let token = server.metrics_token.as_ref().map(Secret::expose_secret);
    match get(&format!("{address}/metrics"), token, PATIENCE).await {
        Ok(Answer { status: 200, body, .. }) => Ok(Some(Snapshot::parse(&String::from_utf8_lossy(&body)))),
        Ok(Answer { status: 401, .. }) => Err(SERVER_METRICS_REFUSED
            .warning("The server does not show its numbers to whoever has this METRICS_TOKEN")
            .mend("parlant-ops restart   # if METRICS_TOKEN was changed; then the scraper's as well")),
        _ => Ok(None),
    }
}
