//! The demo user of development servers.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use parlant_auth_bridge::fixture::{SIM_SCHEMA, seed};
use parlant_auth_bridge::{AuthBridge, Config, Credential, Permission, Verdict};
use parlant_test_support::empty_database;

use crate::database::source;

#[tokio::test]
async fn the_demo_user_may_enter_and_stays_the_same() {
    let database = empty_database().await;
    let client = database.superuser().await;
    client.batch_execute(SIM_SCHEMA).await.unwrap();
    let long_ago = Utc::now() - TimeDelta::days(40);
    let first = seed(&client, long_ago).await.unwrap();
    assert_eq!(first.token.len(), 32);

    let config = Config { caching: false, ..Config::default() };
    let bridge = AuthBridge::new(&config, Arc::new(source(database.superuser_url()))).unwrap();
    let credential = Credential::from_bearer(&first.token);
    let verdict = bridge.authenticate(&credential).await;
    assert!(matches!(verdict, Verdict::Invalid(_)), "30 days are over: {verdict:?}");

    let second = seed(&client, Utc::now()).await.unwrap();
    assert_eq!((&second.token, &second.user_id), (&first.token, &first.user_id));
    let verdict = bridge.authenticate(&credential).await;
    let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
    assert_eq!(identity.user.id, second.user_id);
    assert_eq!(identity.workspaces.len(), 2);
    let permissions: Vec<_> = second.workspaces.iter().map(|demo| identity.permission(&demo.id)).collect();
    assert_eq!(permissions, [Some(Permission::Admin), Some(Permission::Read)]);
}
