//! The server goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parlant_db_pool::{Class, Error, Pool, connect};
use parlant_embedded_postgres::{Cluster, Installation, Options};
use parlant_test_support::{ChaosProxy, empty_database};

use crate::postgres::{ONE, SLEEP, config, until};

/// Callers that never stop, and what they saw.
struct Load {
    stop: Arc<AtomicBool>,
    succeeded: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Vec<Error>>>,
}

impl Load {
    fn start(pool: &Pool, callers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let succeeded = Arc::new(AtomicUsize::new(0));
        let callers = (0..callers)
            .map(|_| {
                let (pool, stop, succeeded) = (pool.clone(), Arc::clone(&stop), Arc::clone(&succeeded));
                tokio::spawn(async move {
                    let mut errors = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match pool.query(&SLEEP, &[&0.002_f64]).await {
                            Ok(_) => drop(succeeded.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => {
                                errors.push(error);
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                        }
                    }
                    errors
                })
            })
            .collect();
        Self { stop, succeeded, callers }
    }

    async fn until_served(&self) -> Duration {
        let start = Instant::now();
        let before = self.succeeded.load(Ordering::Relaxed);
        until("served", async || self.succeeded.load(Ordering::Relaxed) > before).await;
        start.elapsed()
    }

    async fn end(self) -> Vec<Error> {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = Vec::new();
        for caller in self.callers {
            errors.extend(caller.await.unwrap());
        }
        errors
    }
}

#[tokio::test]
async fn a_server_stopped_and_started_under_load_costs_transient_errors_only() {
    let installation = Installation::find(None).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = Options::persistent(directory.path());
        options.durable = false;
        options
    };
    let cluster = Cluster::start(&installation, options()).await.unwrap();
    let address = cluster.address();
    let mut config = config(cluster.url("postgres"));
    config.pool_size = 4;
    config.max_overflow = 4;
    let pool = Pool::new(&config).unwrap();
    let load = Load::start(&pool, 12);
    load.until_served().await;
    cluster.stop().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pool.statistics().idle, 0, "the dead are not counted");
    let cluster = Cluster::start(&installation, options()).await.unwrap();
    assert_eq!(cluster.address(), address);
    let recovery = load.until_served().await;
    assert!(recovery < Duration::from_secs(2), "{recovery:?}");
    let errors = load.end().await;
    assert!(!errors.is_empty());
    for error in &errors {
        assert_eq!(error.class(), Class::Transient, "{error:?}");
    }
    // The base comes back by itself.
    until("warm", async || pool.statistics().idle >= 4).await;
    pool.close().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_bounded_in_every_place() {
    let database = empty_database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let url = database.superuser_url().replace(&database.address().to_string(), &proxy.address().to_string());
    let mut config = config(url);
    config.command_timeout = Duration::from_millis(500);
    config.pool_timeout = Duration::from_millis(700);
    config.connection_timeout = Duration::from_millis(900);
    let pool = Pool::new(&config).unwrap();
    pool.query(&ONE, &[]).await.unwrap();
    let held = pool.get().await.unwrap();
    // Nothing idle is left: whoever comes must connect.
    let mut others = Vec::new();
    while pool.statistics().idle > 0 {
        others.push(pool.get().await.unwrap());
    }
    proxy.hang();

    let start = Instant::now();
    let timed = async |work: std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + '_>>| {
        (work.await.unwrap_err(), start.elapsed())
    };
    let (held, new, direct, transaction) = tokio::join!(
        timed(Box::pin(async { held.query(&ONE, &[]).await.map(drop) })),
        timed(Box::pin(async { pool.get().await.map(drop) })),
        timed(Box::pin(async { connect(&config).await.map(drop) })),
        timed(Box::pin(async {
            let work = async |_| Ok::<_, Error>(());
            pool.transaction("hang", work).await
        })),
    );
    for (what, (error, took), limit) in [
        ("a statement", held, 500 + 500),
        ("a new connection", new, 700),
        ("a direct connection", direct, 900),
        ("a transaction", transaction, 700),
    ] {
        assert!(took < Duration::from_millis(limit + 300), "{what}: {took:?}");
        assert_eq!(error.class(), Class::Transient, "{what}: {error:?}");
    }

    proxy.restore().await;
    let start = Instant::now();
    until("served", async || pool.query(&ONE, &[]).await.is_ok()).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_refusing_server_is_not_hammered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(format!("postgres://u:p@{}/d", listener.local_addr().unwrap()));
    config.pool_size = 8;
    let pool = Pool::new(&config).unwrap();
    let mut attempts = 0;
    let counting = async {
        loop {
            // Accepts and hangs up, as a server without free connections does.
            drop(listener.accept().await.unwrap());
            attempts += 1;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(3), counting).await;
    assert!((2..20).contains(&attempts), "{attempts} attempts in three seconds");
    drop(pool);
}
