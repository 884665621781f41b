//! The faults, each with what the doctor is to find and how it is to end.

use std::fs;
use std::process::Command;

use chrono::TimeDelta;
use parlant_test_support::signed;
use rustix::process::{Pid, Signal, kill_process};

use crate::stand_in::StandIn;
use crate::world::{SECRET, World, run_backup, until};

/// A fault, the one finding, the exit code.
pub(crate) const FAULTS: &[(&str, &str, i32)] = &[
    ("database stopped", "database.refused", 1),
    ("database hangs", "database.silent", 1),
    ("database slow", "database.slow", 2),
    ("database's name not known", "database.unknown_host", 1),
    ("database wants no TLS", "database.tls", 1),
    ("database gone", "database.no_database", 1),
    ("database takes no writes", "database.standby", 1),
    ("database's clock ahead by an hour", "clock.database", 2),
    ("password changed", "database.password", 1),
    ("role may not log in", "database.role", 1),
    ("role has no connection left", "database.full", 1),
    ("grant missing", "database.grants", 1),
    ("pool too large", "database.connection_budget", 2),
    ("lock kept", "database.locked", 1),
    ("transaction forgotten", "database.long_transaction", 2),
    ("table dropped", "schema.table_missing", 1),
    ("migration pending", "schema.pending", 1),
    ("migration diverged", "schema.diverged", 1),
    ("migration newer", "schema.newer", 1),
    ("index INVALID", "schema.index_invalid", 2),
    ("index dropped", "schema.index_missing", 2),
    ("table of Sim's dropped", "sim.tables", 1),
    ("Sim stopped", "sim.unreachable", 2),
    ("Sim hangs", "sim.unreachable", 2),
    ("Sim fails", "sim.error", 2),
    ("Sim of another shape", "sim.wrong_shape", 2),
    ("Sim's sessions of another shape", "sim.wrong_shape", 2),
    ("Sim's clock ahead by an hour", "clock.sim", 2),
    ("this machine's clock behind by an hour", "clock.here", 2),
    ("token cut off", "token.malformed", 1),
    ("token forged", "token.bad_signature", 1),
    ("token of another kind", "token.unsupported", 1),
    ("token signed out", "token.unknown_session", 1),
    ("token expired", "token.expired", 1),
    ("user banned", "token.banned", 1),
    ("workspace denied", "workspace.denied", 1),
    ("workspace archived", "workspace.archived", 1),
    ("workspace gone", "workspace.missing", 1),
    ("server stopped", "server.down", 1),
    ("server hangs", "server.silent", 1),
    ("port taken", "server.port_taken", 1),
    ("server's pool full", "server.pool_full", 1),
    ("settings changed", "server.settings_differ", 2),
    ("metrics token changed", "server.metrics_refused", 2),
    ("memory limit near", "server.memory", 2),
    ("file descriptors nearly used up", "server.file_descriptors", 2),
    ("disk full", "host.disk", 1),
    ("setting wrong", "configuration.invalid", 1),
    ("log unwritable", "log.unwritable", 1),
    ("backup missing", "backup.none", 1),
    ("backup too old", "backup.too_old", 1),
    ("backup cut off", "backup.damaged", 1),
    ("backup not verified", "backup.unverified", 2),
    ("engine stopped", "engine.unreachable", 1),
    ("engine wants another token", "engine.refused", 1),
    ("engine fails", "engine.error", 1),
    ("webhook stopped", "alerts.unreachable", 2),
];

/// What the server and the doctor are started with for that fault.
pub(crate) fn settings(fault: &str) -> &'static [(&'static str, &'static str)] {
    match fault {
        "pool too large" => &[("DATABASE_POOL_MAX_OVERFLOW", "400")],
        "server's pool full" => &[("DATABASE_POOL_SIZE", "1"), ("DATABASE_POOL_MAX_OVERFLOW", "0")],
        // So many that a limit just above them still lets the doctor in.
        "file descriptors nearly used up" => &[("DATABASE_POOL_SIZE", "40")],
        _ => &[],
    }
}

/// Makes it happen.
pub(crate) async fn inject(world: &mut World, fault: &str) {
    let (role, name) = (world.role.clone(), world.database.name().to_owned());
    match fault {
        "database stopped" => {
            world.database_proxy.refuse().await;
            world.database_proxy.cut();
        }
        "database hangs" => {
            world.set("DATABASE_CONNECTION_TIMEOUT", "3s");
            world.database_proxy.hang();
        }
        "database slow" => world.database_proxy.delay(std::time::Duration::from_millis(510)),
        "database's name not known" => replace(world, "127.0.0.1", "nowhere.invalid"),
        "database wants no TLS" => world.set("DATABASE_SSL_MODE", "require"),
        "database gone" => replace(world, &format!("/{name}"), "/not_there"),
        "database takes no writes" => {
            world.sql(&format!("alter database {name} set default_transaction_read_only = on")).await;
        }
        "password changed" => world.sql(&format!("alter role {role} password 'canary'")).await,
        "role may not log in" => world.sql(&format!("alter role {role} nologin")).await,
        "role has no connection left" => world.sql(&format!("alter role {role} connection limit 1")).await,
        "grant missing" => world.sql("revoke insert on parlant_event from parlant_app").await,
        // As it is set: every server may open that many.
        "pool too large" => {}
        "lock kept" => {
            let holder = world.database.superuser().await;
            holder.batch_execute("begin; lock table parlant_session in access exclusive mode").await.unwrap();
            world.connections.push(holder);
        }
        "transaction forgotten" => {
            let idle = world.connect().await;
            idle.batch_execute("begin; select 1").await.unwrap();
            world.connections.push(idle);
            let seen =
                "select 1 from pg_stat_activity where state = 'idle in transaction' and datname = current_database()
                and state_change < clock_timestamp() - interval '61 seconds'";
            until("old", async || world.superuser.query_opt(seen, &[]).await.unwrap()).await;
        }
        "table dropped" => world.sql("drop table parlant_engine_session").await,
        "migration pending" => {
            world.sql("delete from parlant_migrations where version = 8; drop index parlant_agent_forgotten_idx").await;
        }
        "migration diverged" => world.sql("update parlant_migrations set checksum = '1' where version = 3").await,
        "migration newer" => {
            let row = "insert into parlant_migrations select 99, 'of_the_future', applied_on, checksum
                from parlant_migrations where version = 8";
            world.sql(row).await;
        }
        "index INVALID" => {
            let agent = "insert into parlant_agent (id, workspace_id, user_id, name, guidelines, tools)
                select gen_random_uuid(), 'w', 'u', n::text, '[]', '[]' from generate_series(1, 2) n";
            world.sql(agent).await;
            let index = "create unique index concurrently parlant_agent_unfinished on parlant_agent (workspace_id)";
            world.superuser.batch_execute(index).await.unwrap_err();
        }
        "index dropped" => world.sql("drop index parlant_session_agent_idx").await,
        "table of Sim's dropped" => world.sql("drop table member cascade").await,
        "Sim stopped" => world.sim_proxy.refuse().await,
        "Sim hangs" => world.sim_proxy.hang(),
        "Sim fails" => world.sim.say(&[("/", 500, "canary")]),
        "Sim of another shape" => world.sim.say(&[("/", 200, "<html>canary</html>")]),
        "Sim's sessions of another shape" => {
            world.sim.say(&[("/api/health", 200, r#"{"status":"ok"}"#), ("/", 200, r#"{"canary":1}"#)]);
        }
        "Sim's clock ahead by an hour" => world.sim.be_ahead(TimeDelta::hours(1)),
        "this machine's clock behind by an hour" => fake_time(world, "-1h"),
        "database's clock ahead by an hour" => {
            // One clock for the whole machine: the doctor's stands back instead, where nobody else is asked.
            fake_time(world, "-1h");
            world.environment.remove("SIM_BASE_URL");
        }
        _ if fault.starts_with("token") || fault.starts_with("user") || fault.starts_with("workspace") => {
            credential(world, fault).await;
        }
        "server stopped" => world.server.kill().await.unwrap(),
        "server hangs" => signal(world, Signal::STOP),
        "port taken" => {
            world.server.kill().await.unwrap();
            let other = StandIn::start_at(world.address, &[("/", 200, "canary")]).await;
            world.stand_ins.push(other);
        }
        "server's pool full" => fill_pool(world).await,
        "settings changed" => world.set("DATABASE_POOL_SIZE", "11"),
        "metrics token changed" => world.set("METRICS_TOKEN", "canary-other"),
        "memory limit near" => limit_memory(world).await,
        "file descriptors nearly used up" => {
            let warm = format!("select 1 from pg_stat_activity where usename = '{role}' having count(*) > 40");
            until("warm", async || world.superuser.query_opt(&warm, &[]).await.unwrap()).await;
            let open = fs::read_dir(format!("/proc/{}/fd", world.pid())).unwrap().count();
            let limit = format!("--nofile={0}:{0}", open + 10);
            let pid = world.pid().to_string();
            assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
        }
        "disk full" => {
            let log = world.path("log");
            let mount = ["-t", "tmpfs", "-o", "size=4m", "none"];
            assert!(Command::new("mount").args(mount).arg(&log).status().unwrap().success(), "needs root");
            world.mounts.push(log.clone());
            fs::write(log.join("old.log"), vec![b'x'; 4 * 1024 * 1024 * 97 / 100]).unwrap();
        }
        "setting wrong" => world.set("AUTH_CACHE_TTL", "canary"),
        "log unwritable" => {
            fs::rename(world.path("log"), world.path("log.old")).unwrap();
            fs::write(world.path("log"), "").unwrap();
        }
        "engine stopped" => world.engine_proxy.refuse().await,
        "engine wants another token" => world.engine.say(&[("/", 401, "canary")]),
        "engine fails" => world.engine.say(&[("/", 500, "canary")]),
        "webhook stopped" => world.webhook_proxy.refuse().await,
        _ => backups(world, fault).await,
    }
}

fn replace(world: &mut World, from: &str, to: &str) {
    let url = world.environment["DATABASE_URL"].replacen(from, to, 1);
    world.set("DATABASE_URL", url);
}

fn signal(world: &World, signal: Signal) {
    let pid = i32::try_from(world.pid()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The one connection of the pool belongs to a process that is stopped, and callers wait for it.
async fn fill_pool(world: &mut World) {
    let token = {
        let sim = world.database.sim().await;
        sim.session(&sim.user("Ada").await).await
    };
    world.secrets.push(token.clone());
    // Neither who listens nor who is pinged.
    let pool = format!(
        "select pid from pg_stat_activity where usename = '{}' and query <> '' and query not ilike 'listen %'
            and query not like '-- notify%'",
        world.role
    );
    for row in world.superuser.query(&pool, &[]).await.unwrap() {
        let pid: i32 = row.get(0);
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
        world.stopped.push(pid);
    }
    let url = format!("http://{}/api/v1/auth/me", world.address);
    for _ in 0..4 {
        let (url, token) = (url.clone(), token.clone());
        world.callers.spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            loop {
                let _ = client.get(&url).bearer_auth(&token).send().await;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
    }
    world.until_seen("database").await;
}

/// The doctor's own machine has another time.
fn fake_time(world: &mut World, offset: &str) {
    world.set("LD_PRELOAD", FAKE_TIME);
    world.set("FAKETIME", offset);
    world.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// Debian's package `faketime`.
const FAKE_TIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

async fn credential(world: &mut World, fault: &str) {
    let sim = world.database.sim().await;
    let ada = sim.user("Ada").await;
    let raw = sim.session(&ada).await;
    let token = match fault {
        "token cut off" => format!("{}.", &raw[..9]),
        "token forged" => signed(&raw, "canary-another-secret-of-32-characters"),
        "token of another kind" => format!("eyJhbGciOiJIUzI1NiJ9.{raw}.{raw}"),
        "token signed out" => {
            sim.sign_out(&raw).await;
            signed(&raw, SECRET)
        }
        "token expired" => {
            sim.expire(&raw, TimeDelta::hours(-1)).await;
            raw.clone()
        }
        _ => signed(&raw, SECRET),
    };
    if fault == "user banned" {
        sim.ban(&ada, None).await;
    }
    let bob = sim.user("Bob").await;
    let workspace = match fault {
        "workspace denied" => Some(sim.workspace(&bob).await),
        "workspace archived" => {
            let workspace = sim.workspace(&ada).await;
            sim.archive(&workspace).await;
            Some(workspace)
        }
        "workspace gone" => Some("not-there".to_owned()),
        _ => None,
    };
    if let Some(workspace) = workspace {
        world.arguments.extend(["--workspace".to_owned(), workspace]);
    }
    let path = world.path("token");
    fs::write(&path, &token).unwrap();
    world.arguments.extend(["--token-file".to_owned(), path.display().to_string()]);
    world.secrets.extend([raw, token]);
}

/// The server is moved into a control group that has little more than it uses.
async fn limit_memory(world: &mut World) {
    let status = fs::read_to_string(format!("/proc/{}/status", world.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    let name = format!("parlant-doctor-{}", world.database.name());
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory");
    let (group, file) = if v1.exists() {
        (v1.join(name), "memory.limit_in_bytes")
    } else {
        (std::path::Path::new("/sys/fs/cgroup").join(name), "memory.max")
    };
    fs::create_dir(&group).expect("needs root and control groups");
    world.groups.push(group.clone());
    fs::write(group.join(file), (resident * 5 / 4).to_string()).unwrap();
    fs::write(group.join("cgroup.procs"), world.pid().to_string()).unwrap();
    world.until_seen("memory").await;
}

async fn backups(world: &mut World, fault: &str) {
    let directory = world.path("backups");
    let of = |ending: &str| {
        let files = fs::read_dir(&directory).unwrap().flatten().map(|file| file.path());
        files.filter(|path| path.to_str().unwrap().ends_with(ending)).collect::<Vec<_>>()
    };
    match fault {
        "backup not verified" => of("verified.json").iter().for_each(|path| fs::remove_file(path).unwrap()),
        "backup cut off" => {
            let archive = fs::File::options().write(true).open(&of("dump.zst")[0]).unwrap();
            archive.set_len(archive.metadata().unwrap().len() / 2).unwrap();
        }
        "backup missing" | "backup too old" => {
            of("").iter().for_each(|path| fs::remove_file(path).unwrap());
            if fault == "backup too old" {
                let then = [("LD_PRELOAD", FAKE_TIME), ("FAKETIME", "-30h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
                let output = run_backup(&directory, &["run", "--no-verify"], &then).await;
                assert!(output.status.success(), "{output:?}");
            }
        }
        other => panic!("nobody knows how to make {other}"),
    }
}
