use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::json;

use crate::check::Running;
use crate::{Check, Error, Outcome};

/// How long Sim may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether Sim's web application answers.
pub struct SimApi {
    /// None where nobody has said where Sim is.
    sim: Option<(Client, Url)>,
    critical: bool,
}

impl SimApi {
    /// A check for a service that looks sessions up in Sim's tables and was not told where Sim's web application is: to
    /// ask at a guessed address would find it missing for ever. It is healthy and says so: `"configured": false`.
    #[must_use]
    pub fn unconfigured() -> Self {
        Self { sim: None, critical: false }
    }

    /// A check of what is at `path` under `base_url`; `critical` where sessions are looked up there.
    ///
    /// # Errors
    /// When the address is none, or this machine has no root certificates to check an https server with.
    pub fn new(base_url: &str, path: &str, critical: bool) -> Result<Self, Error> {
        let address = format!("{}/{}", base_url.trim_end_matches('/'), path.trim_start_matches('/'));
        let address = Url::parse(&address).map_err(|_| Error::Address)?;
        let mut client = Client::builder()
            .timeout(PATIENCE)
            // Elsewhere is not where the bridge will ask.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("parlant-health/", env!("CARGO_PKG_VERSION")));
        match address.scheme() {
            "https" => {}
            // A machine without root certificates need not have any.
            "http" => client = client.tls_certs_only([]),
            _ => return Err(Error::Address),
        }
        Ok(Self { sim: Some((client.build()?, address)), critical })
    }

    async fn look(&self) -> Outcome {
        let Some((client, address)) = &self.sim else {
            return Outcome::healthy().with_details(json!({ "configured": false }));
        };
        match client.get(address.clone()).send().await {
            Ok(answer) => judge(answer.status()),
            Err(error) => Outcome::unhealthy("Sim cannot be reached")
                .with_details(json!({ "configured": true }))
                .because(error.without_url()),
        }
    }
}

impl Check for SimApi {
    fn name(&self) -> &'static str {
        "sim_api"
    }

    fn critical(&self) -> bool {
        self.critical
    }

    /// The request ends by itself before.
    fn timeout(&self) -> Duration {
        PATIENCE + Duration::from_secs(1)
    }

    fn run(&self) -> Running<'_> {
        Box::pin(self.look())
    }
}

fn judge(status: StatusCode) -> Outcome {
    let outcome = match status {
        StatusCode::OK => Outcome::healthy(),
        _ => Outcome::degraded("Sim answers with another status than 200"),
    };
    outcome.with_details(json!({ "configured": true, "http_status": status.as_u16() }))
}
