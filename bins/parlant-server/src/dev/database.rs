//! The private database of `dev`: cluster, roles, Sim's tables, migrations, demo user.

use std::path::Path;

use anyhow::Context as _;
use chrono::Utc;
use parlant_auth_bridge::fixture::{self, Demo};
use parlant_db_pool as db_pool;
use parlant_embedded_postgres::{Cluster, Installation, Options};
use parlant_schema::ApplyOptions;
use rand::RngExt as _;
use rand::distr::Alphanumeric;

/// The database's name; Sim's own default would be taken for a real one.
const NAME: &str = "sim_dev";

/// The roles and grants of a real deployment, so that `dev` cannot do what a deployment may not.
const ROLES: &str = include_str!("../../../../deploy/sql/roles.sql");

/// A running database with everything in it that the server needs.
pub(crate) struct Database {
    /// Runs as long as it is held.
    pub(crate) cluster: Cluster,
    /// As the superuser, for scripts.
    pub(crate) admin_url: String,
    /// As the server's own, unprivileged role.
    pub(crate) server_url: String,
    /// The demo user.
    pub(crate) demo: Demo,
}

/// Starts the cluster under `data_dir`, adopting one that an earlier `dev` left, and completes what is missing.
pub(crate) async fn start(bin_dir: Option<&Path>, data_dir: &Path) -> anyhow::Result<Database> {
    let installation = Installation::find(bin_dir)?;
    let options = Options::persistent(data_dir);
    let cluster = Cluster::start(&installation, options).await?;
    let admin_url = cluster.url(NAME);

    create(&cluster.url("postgres")).await.context("cannot create the database")?;
    let admin = db_pool::connect(&db_pool::Config::new(admin_url.clone())).await?;
    let known: bool =
        admin.query_one("-- dev_knows_sim\nselect to_regclass('public.session') is not null", &[]).await?.get(0);
    if !known {
        admin.batch_execute(fixture::SIM_SCHEMA).await.context("cannot create Sim's tables")?;
    }
    admin.batch_execute(ROLES).await.context("cannot create the roles")?;
    let password = random_text();
    for role in ["parlant_migrator", "parlant_app"] {
        // The password has letters and digits only.
        admin.batch_execute(&format!("-- dev_password\nalter role {role} login password '{password}'")).await?;
    }
    let url = |role: &str| format!("postgres://{role}:{password}@{}/{NAME}", cluster.address());
    let migrator = db_pool::Config::new(url("parlant_migrator"));
    parlant_schema::apply(&migrator, &ApplyOptions::default()).await.context("cannot create the tables")?;
    let demo = fixture::seed(&admin, Utc::now()).await.context("cannot create the demo user")?;
    let server_url = url("parlant_app");
    Ok(Database { cluster, admin_url, server_url, demo })
}

async fn create(url: &str) -> anyhow::Result<()> {
    let client = db_pool::connect(&db_pool::Config::new(url)).await?;
    let known = client.query_opt("-- dev_knows_database\nselect from pg_database where datname = $1", &[&NAME]).await?;
    if known.is_none() {
        client.batch_execute(&format!("-- dev_create_database\ncreate database {NAME}")).await?;
    }
    Ok(())
}

/// 32 letters and digits, as a session token of Better Auth's.
pub(crate) fn random_text() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}
