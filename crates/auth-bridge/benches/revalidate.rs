//! What revalidation costs with 100,000 sessions in the cache, 1,000 of them in use: processor time here and in PostgreSQL, per second.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measurement that prints its figures or stops")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_auth_bridge::{AuthBridge, Config, Credential, DatabaseSource, Verdict};
use parlant_db_pool::Pool;
use parlant_test_support::{SimTables, TestDatabase, database};

const SESSIONS: usize = 100_000;
/// How many of them are used all the time.
const IN_USE: usize = 1000;
const SECONDS: u64 = 20;
/// A tick of `/proc/pid/stat`.
const TICK_MS: u64 = 10;

/// As many users as sessions, with five workspaces each; some are admins of an organization with ten more.
const PEOPLE: &str = "
insert into \"user\" (id, name, email, email_verified, created_at, updated_at)
select 'u' || n, 'N', 'u' || n, true, now(), now() from generate_series(1, 100000) n;
insert into organization (id, name, slug) select 'o' || n, 'O', 'o' from generate_series(1, 5000) n;
insert into member (id, user_id, organization_id, role)
select 'm' || n, 'u' || n, 'o' || (n % 5000 + 1), case n % 10 when 0 then 'admin' else 'member' end
from generate_series(1, 50000) n;
insert into workspace (id, name, owner_id, billed_account_user_id, organization_id)
select 'w' || n, 'W', 'u' || n, 'u' || n, case n % 2 when 0 then 'o' || (n / 2 % 5000 + 1) end
from generate_series(1, 100000) n;
insert into permissions (id, user_id, entity_type, entity_id, permission_type)
select 'p' || n || '.' || k, 'u' || n, 'workspace', 'w' || ((n * 7 + k * 13) % 100000 + 1), 'write'
from generate_series(1, 100000) n, generate_series(1, 5) k;
insert into session (id, token, user_id, expires_at, created_at, updated_at)
select 's' || n, 't' || n, 'u' || n, now() + interval '1 day', now(), now() from generate_series(1, 100000) n;
analyze;";

#[tokio::main]
async fn main() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("the only recorder");
    let database = database().await;
    database.superuser().await.batch_execute(PEOPLE).await.expect("people");
    for interval in [Duration::ZERO, Duration::from_secs(1)] {
        let pool = Pool::new(&parlant_db_pool::Config::new(database.url())).expect("a pool");
        let config = Config {
            cache_max_size: 2 * SESSIONS as u64,
            cache_ttl: Duration::from_hours(1),
            revalidate_interval: interval,
            ..Config::default()
        };
        let bridge = AuthBridge::new(&config, Arc::new(DatabaseSource::new(SimTables(pool)))).expect("a bridge");
        let look_ups = (1..=SESSIONS).map(|n| {
            let (bridge, credential) = (bridge.clone(), Credential::from_bearer(&format!("t{n}")));
            async move { assert!(matches!(bridge.authenticate(&credential).await, Verdict::Valid(_))) }
        });
        stream::iter(look_ups).buffer_unordered(16).collect::<()>().await;
        tokio::time::sleep(Duration::from_secs(20)).await;

        let before = (own(), backends(&database).await, rounds(&handle.render()));
        let end = Instant::now() + Duration::from_secs(SECONDS);
        while Instant::now() < end {
            for n in 1..=IN_USE {
                let verdict = bridge.authenticate(&Credential::from_bearer(&format!("t{n}"))).await;
                assert!(matches!(verdict, Verdict::Valid(_)));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let after = (own(), backends(&database).await, rounds(&handle.render()));
        let (count, seconds) = (after.2.0 - before.2.0, after.2.1 - before.2.1);
        println!(
            "interval {interval:?}, {} held: {} ms of processor a second here, {} in PostgreSQL; {} rounds of {:.0} ms",
            bridge.statistics().total_cached_sessions,
            (after.0 - before.0) / SECONDS,
            (after.1 - before.1) / SECONDS,
            count,
            if count > 0.0 { seconds * 1000.0 / count } else { 0.0 },
        );
    }
}

/// How many rounds there were and how long they took.
fn rounds(rendered: &str) -> (f64, f64) {
    let value = |what: &str| {
        let prefix = format!("parlant_database_query_duration_seconds_{what}{{query=\"sessions_by_id\"}} ");
        let line = rendered.lines().find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    (value("count"), value("sum"))
}

fn own() -> u64 {
    processor("self")
}

async fn backends(database: &TestDatabase) -> u64 {
    let rows = database.superuser().await;
    let sql = "select pid from pg_stat_activity where usename = 'parlant_app'";
    let rows = rows.query(sql, &[]).await.expect("the backends");
    rows.iter().map(|row| processor(&row.get::<_, i32>(0).to_string())).sum()
}

/// Milliseconds of processor time that a process has used.
fn processor(pid: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<u64>() * TICK_MS
}
