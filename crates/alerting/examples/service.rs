//! A service of somebody else's with a rule of its own, Slack, and a pager that only it knows.
//!
//! ```sh
//! SLACK_WEBHOOK_URL=https://hooks.slack.com/services/… ALERT_STATE_DIR=/var/lib/shop/alerts cargo run --example service
//! ```

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parlant_alerting::{
    Alerting, Config, Notification, Notifier, Rule, Selector, SendError, Sending, Severity, Source,
};
use parlant_metrics::Exporter;
use parlant_settings::Settings;

/// What this service wants to be called for.
pub(crate) fn rules() -> Vec<Rule> {
    vec![Rule {
        name: "ShopOrdersWait",
        severity: Severity::Critical,
        hold: Duration::ZERO,
        expression: Selector::new("shop_orders_waiting").last().above(100.0),
        summary: "Orders are not packed",
        description: "{count} orders wait in {warehouse}.",
        names: None,
    }]
}

/// Calls people in whatever way this service has.
pub(crate) struct Pager<C>(pub(crate) C);

impl<C: Fn(&str) -> bool + Send + Sync + 'static> Notifier for Pager<C> {
    fn name(&self) -> &'static str {
        "pager"
    }

    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        let called = (self.0)(&notification.title);
        let busy = || SendError::Later { reason: "the line is busy".to_owned(), after: Some(Duration::from_secs(30)) };
        Box::pin(async move { if called { Ok(()) } else { Err(busy()) } })
    }
}

/// Tells Slack, if it is configured, and the pager.
pub(crate) async fn watch(exporter: Exporter, config: Config, pager: impl Notifier, stop: impl Future<Output = ()>) {
    let notifiers = config.notifiers().into_iter().chain([Arc::new(pager) as Arc<dyn Notifier>]).collect();
    let alerting = Alerting::new(rules(), notifiers, config);
    alerting.run(move || vec![(Source::Server, exporter.snapshot())], stop).await;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::from_process();
    let config =
        Config { fields: vec![("instance".to_owned(), "shop-1".to_owned())], ..Config::from_settings(&mut settings) };
    settings.finish()?;
    let exporter = parlant_metrics::install()?;
    metrics::gauge!("shop_orders_waiting", "warehouse" => "north").set(120.0);
    let pager = Pager(|title: &str| writeln!(std::io::stdout(), "Calling somebody: {title}").is_ok());
    watch(exporter, config, pager, async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}
