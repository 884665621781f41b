//! The bridge's tables: migrations and indexes.

use parlant_db_pool::Client;
use parlant_schema::{Error, IndexDamage, Migrations, Problem, State, Status};

use crate::doctor::kinds::{
    SCHEMA_DIVERGED, SCHEMA_INDEX_INVALID, SCHEMA_INDEX_MISSING, SCHEMA_NEWER, SCHEMA_PENDING, SCHEMA_TABLE_MISSING,
    SCHEMA_UNREADABLE,
};
use crate::doctor::sheet::Sheet;
use crate::doctor::shell::{identifier, psql};

/// Looks at the schema behind a connection.
pub(crate) async fn look(client: &Client) -> Sheet {
    let mut sheet = Sheet::default();
    if let Err(error) = examine(client, &mut sheet).await {
        let finding = SCHEMA_UNREADABLE.broken("The history of migrations cannot be read").evidence(error.to_string());
        sheet.find(finding.mend("parlant-migrate status"));
    }
    sheet
}

async fn examine(client: &Client, sheet: &mut Sheet) -> Result<(), Error> {
    let migrations = Migrations::embedded();
    let status = migrations.status(client).await?;
    state(&status, sheet);
    let (mut missing, mut invalid) = (Vec::new(), Vec::new());
    for index in migrations.damaged_indexes(client, &status).await? {
        let (told, name) =
            (format!("{} on {}", index.name, index.table), format!("public.{}", identifier(&index.name)));
        match index.damage {
            IndexDamage::Missing { sql } => {
                let concurrently = !sql.contains(" concurrently ");
                let sql = if concurrently { sql.replacen(" index ", " index concurrently ", 1) } else { sql };
                missing.push((told, psql(&sql)));
            }
            IndexDamage::Invalid { ours: true } => {
                invalid.push((told, psql(&format!("reindex index concurrently {name}"))));
            }
            IndexDamage::Invalid { ours: false } => {
                let told = format!("{told}, which no migration made");
                invalid.push((told, psql(&format!("drop index concurrently {name}"))));
            }
        }
    }
    for (kind, summary, found) in
        [(SCHEMA_INDEX_MISSING, "An index is missing", missing), (SCHEMA_INDEX_INVALID, "An index is INVALID", invalid)]
    {
        if !found.is_empty() {
            let (told, mends): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            sheet.find(kind.warning(summary).evidences(told).mend(mends.join("\n")));
        }
    }
    Ok(())
}

fn state(status: &Status, sheet: &mut Sheet) {
    let (gone, others): (Vec<_>, Vec<_>) =
        status.problems.iter().partition(|problem| matches!(problem, Problem::TableGone { .. }));
    let told = |problems: Vec<&Problem>| problems.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    match status.state {
        State::Pending => sheet.find(
            SCHEMA_PENDING
                .broken("Migrations wait to be applied")
                .evidences(status.pending.iter().map(ToString::to_string))
                .mend("parlant-migrate plan && parlant-migrate apply   # DATABASE_URL of parlant_migrator"),
        ),
        State::Newer => sheet.find(
            SCHEMA_NEWER
                .broken("The database was migrated by a newer version than this one")
                .evidences(told(others))
                .mend("parlant-server --version   # install the newer version, on every machine"),
        ),
        State::Diverged if !others.is_empty() => sheet.find(
            SCHEMA_DIVERGED
                .broken("The database is not what the migrations made")
                .evidences(told(others))
                .mend("parlant-migrate status"),
        ),
        // Gone tables are told apart.
        State::UpToDate | State::Diverged => {}
    }
    if !gone.is_empty() {
        sheet.find(
            SCHEMA_TABLE_MISSING.broken("A table is gone").evidences(told(gone)).mend(
                "parlant-backup list && parlant-backup restore --help   # what a backup holds can be brought back",
            ),
        );
    }
}
