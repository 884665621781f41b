use std::collections::BTreeMap;

use serde::Serialize;
use tokio_postgres::Client;

use crate::error::Error;
use crate::migrations::Migrations;
use crate::sql::{self, IndexChange, Statement};
use crate::status::Status;

/// One that is being built is INVALID as well; whoever builds it has its table locked so.
const INDEXES: &str = "-- indexes
select c.relname::text as name, t.relname::text as table, i.indisvalid or exists (
        select from pg_catalog.pg_locks l
        where l.relation = t.oid and l.mode = 'ShareUpdateExclusiveLock' and l.granted
            and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
    ) as valid
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_class t on t.oid = i.indrelid
where t.relnamespace = 'public'::regnamespace and starts_with(t.relname::text, 'parlant_')
order by c.relname";

/// An index of one of the bridge's tables that serves nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedIndex {
    /// Its name in `public`.
    pub name: String,
    /// Its table's.
    pub table: String,
    /// What is wrong with it.
    pub damage: IndexDamage,
}

/// What is wrong with an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "damage", rename_all = "snake_case")]
pub enum IndexDamage {
    /// A migration that is applied made it, and it is not there.
    Missing {
        /// The statement that makes it.
        sql: String,
    },
    /// It was not finished.
    Invalid {
        /// Whether a migration makes it; otherwise nobody needs it.
        ours: bool,
    },
}

impl Migrations {
    /// The indexes that do not serve, of tables that are there; `status` says which migrations are applied.
    pub async fn damaged_indexes(&self, client: &Client, status: &Status) -> Result<Vec<DamagedIndex>, Error> {
        let made = self.indexes(status);
        let mut damaged = Vec::new();
        let mut there = Vec::new();
        for row in client.query_typed(INDEXES, &[]).await? {
            let (name, table, valid): (String, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if !valid {
                let damage = IndexDamage::Invalid { ours: made.contains_key(&name) };
                damaged.push(DamagedIndex { name: name.clone(), table, damage });
            }
            there.push(name);
        }
        let exists = |name: &String| status.tables.iter().any(|table| table.exists && table.name == *name);
        for (name, (table, sql)) in made {
            if !there.contains(&name) && exists(&table) {
                damaged.push(DamagedIndex { name, table, damage: IndexDamage::Missing { sql } });
            }
        }
        Ok(damaged)
    }

    /// Those that the applied files leave behind, each with its table and what makes it.
    fn indexes(&self, status: &Status) -> BTreeMap<String, (String, String)> {
        let mut indexes = BTreeMap::new();
        let applied = |version| status.applied.iter().any(|applied| applied.version == version);
        for file in self.files.iter().filter(|file| applied(file.version.clone())) {
            for statement in sql::statements(&file.text) {
                match statement.index_change() {
                    Some(IndexChange::Made(name, table)) => drop(indexes.insert(name, (table, bare(&statement)))),
                    Some(IndexChange::Dropped(names)) => indexes.retain(|name, _| !names.contains(name)),
                    None => {}
                }
            }
        }
        indexes
    }
}

/// The statement on one line, without the comments before it.
fn bare(statement: &Statement) -> String {
    let lines = statement.text.lines().map(str::trim).skip_while(|line| line.starts_with("--") || line.is_empty());
    lines.collect::<Vec<_>>().join(" ").trim_end_matches(';').to_owned()
}
