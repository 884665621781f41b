//! A service that is not ours uses all of it.

use std::sync::{Arc, Mutex};

use parlant_alerting::{Config, Slack};
use tokio::sync::oneshot;

use crate::delivery::exporter;
use crate::receiver::Receiver;

#[path = "../../examples/service.rs"]
#[expect(dead_code, reason = "it is a program of its own")]
mod example;

#[tokio::test]
async fn a_service_of_somebody_else_s_tells_slack_and_its_own_pager() {
    let receiver = Receiver::start([]).await;
    let called = Arc::new(Mutex::new(Vec::new()));
    let config = Config {
        slack: Some(Slack::new(receiver.url()).unwrap()),
        interval: std::time::Duration::from_millis(20),
        ..Config::default()
    };
    // Before the gauge, which would count for nobody otherwise.
    let exporter = exporter();
    let orders = metrics::gauge!("shop_orders_waiting", "warehouse" => "north");
    orders.set(120.0);
    let pager = example::Pager({
        let called = Arc::clone(&called);
        move |title: &str| {
            called.lock().unwrap().push(title.to_owned());
            true
        }
    });
    let (stop, stopped) = oneshot::channel();
    let watching = tokio::spawn(example::watch(exporter, config, pager, async { drop(stopped.await) }));
    crate::receiver::until("both are told", || receiver.count() == 1 && called.lock().unwrap().len() == 1).await;
    orders.set(3.0);
    crate::receiver::until("both are told", || receiver.count() == 2 && called.lock().unwrap().len() == 2).await;
    stop.send(()).unwrap();
    watching.await.unwrap();
    let expected = ["Orders are not packed", "Resolved: Orders are not packed"];
    assert_eq!(receiver.accepted(), expected);
    assert_eq!(*called.lock().unwrap(), expected);
    assert_eq!(receiver.heard()[0].body["attachments"][0]["text"], "120 orders wait in north.");
}
