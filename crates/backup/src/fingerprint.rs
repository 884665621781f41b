//! What a table contains, in a row count and a number.
//!
//! The number is the sum over the table's rows of a 64-bit hash of the row, so that the order of the rows does not
//! matter and each copy of a row counts. `PostgreSQL` computes it (`hash_record_extended`): one pass over the table,
//! 1.5 s for the 1 GB of `parlant_event` on which a sum of hashes of whole rows as text took 4 s and of MD5s 6 s.
//! The hash of a record is linear in its columns' hashes, and so is a sum: values that changed places between rows
//! would go unnoticed. Therefore each row's hash is hashed once more.
//!
//! It is the same on every server from version 14 to 18 of the same byte order: numbers, times, UUIDs and bytes are
//! hashed as they are, and everything else (enums, whose hash would be their OID; json, which has none; numeric, whose
//! hash forgets 1.0 from 1.00) as text, under fixed settings and the collation `C`.
//!
//! What it finds: a row or a value that is missing, changed, moved to another row or there twice. What it cannot find:
//! a change that somebody computed on purpose to leave the sum as it is; whoever can do that can also write a manifest,
//! so protect the backups themselves. Two different tables agree by chance once in 2^64.
//!
//! What it covers: every ordinary, unlogged, inherited and partition table outside of the system's schemas, and the
//! large objects as `pg_largeobject`. Not: the values of sequences, which no snapshot holds still; materialized views,
//! which are computed anew by a restore; foreign tables and tables of extensions, which no dump contains.

use std::collections::BTreeMap;
use std::fmt;

use parlant_db_pool::Type;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::Error;

/// The key of the large objects among the tables.
const LARGE_OBJECTS: &str = "pg_largeobject";

const TABLES: &str = "-- tables_to_fingerprint
select format('%I.%I', n.nspname, c.relname) as name,
  string_agg(
    case
      when a.attname is null then null
      when a.atttypid = any ('{bool,bytea,int2,int4,int8,oid,uuid,date,timestamp,timestamptz}'::regtype[]::oid[])
        then format('t.%I', a.attname)
      else format('t.%I::text collate \"C\"', a.attname)
    end, ', ' order by a.attnum
  ) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind = 'r' and c.relpersistence <> 't'
  and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
  and (not $1 or (n.nspname = 'public' and starts_with(c.relname::text, 'parlant_')))
group by n.nspname, c.relname
order by 1";

/// Settings under which a value has one text everywhere, and under which a role that may not see all rows is told so
/// instead of being shown some.
const SETTINGS: &str = "set local search_path = '';
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local extra_float_digits = 3;
set local bytea_output = 'hex';
set local lc_monetary = 'C';
set local xmlbinary = 'base64';
set local row_security = off;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0";

/// What part of a database is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Only the bridge's own tables, `public.parlant_*`.
    pub only_parlant: bool,
    /// Tables whose rows are left out, quoted as in SQL: `public.session`. A restore makes them empty.
    #[serde(default)]
    pub without_data: Vec<String>,
}

/// What one table contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFingerprint {
    /// Its rows, counted.
    pub rows: u64,
    /// The sum of the rows' hashes, in decimal.
    pub hash: String,
}

/// Tables by name, schema included, quoted as in SQL where they need it: `public.parlant_agent`.
pub type Fingerprints = BTreeMap<String, TableFingerprint>;

/// Reads every table of `scope`, one after the other, on a connection that is inside a transaction; that decides
/// which state of the tables is read. Its settings of the transaction are changed.
///
/// For the `without_data` of `scope` it tells what a restore will find: nothing.
pub async fn fingerprints(client: &Client, scope: &Scope) -> Result<Fingerprints, Error> {
    let failed = |source| Error::Database { doing: "read the tables for the manifest", source };
    client.batch_execute(SETTINGS).await.map_err(failed)?;
    let tables = client.query_typed(TABLES, &[(&scope.only_parlant, Type::BOOL)]).await.map_err(failed)?;
    let mut found = Fingerprints::new();
    for table in tables {
        let name: String = table.get("name");
        if scope.without_data.contains(&name) {
            found.insert(name, TableFingerprint { rows: 0, hash: "0".to_owned() });
            continue;
        }
        let columns: Option<String> = table.get("columns");
        let columns = columns.unwrap_or_default();
        found.insert(name.clone(), read(client, &columns, &format!("only {name} as t")).await.map_err(failed)?);
    }
    if !scope.only_parlant {
        let objects = "pg_catalog.pg_largeobject_metadata as t";
        let objects = read(client, "t.oid, pg_catalog.lo_get(t.oid)", objects).await.map_err(failed)?;
        if objects.rows > 0 {
            found.insert(LARGE_OBJECTS.to_owned(), objects);
        }
    }
    Ok(found)
}

async fn read(client: &Client, columns: &str, from: &str) -> Result<TableFingerprint, tokio_postgres::Error> {
    let sql = format!(
        "-- fingerprint
select count(*), coalesce(
  sum(pg_catalog.hash_record_extended(row(pg_catalog.int8send(pg_catalog.hash_record_extended(row({columns}), 0))), 0)), 0
)::text
from {from}"
    );
    let row = client.query_typed_one(&sql, &[]).await?;
    let rows: i64 = row.try_get(0)?;
    Ok(TableFingerprint { rows: rows.unsigned_abs(), hash: row.try_get(1)? })
}

/// Where two readings of the tables are not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// A table is not there.
    Missing {
        /// Its name.
        table: String,
    },
    /// A table is there that should not be.
    Unexpected {
        /// Its name.
        table: String,
    },
    /// A table has another number of rows.
    Rows {
        /// Its name.
        table: String,
        /// Rows it should have.
        expected: u64,
        /// Rows it has.
        found: u64,
    },
    /// A table has as many rows as it should, but not the same.
    Content {
        /// Its name.
        table: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { table } => write!(f, "{table} is missing"),
            Self::Unexpected { table } => write!(f, "{table} should not be there"),
            Self::Rows { table, expected, found } => write!(f, "{table} has {found} rows instead of {expected}"),
            Self::Content { table } => write!(f, "{table} has other contents"),
        }
    }
}

/// Everything in which `found` is not `expected`, by table; empty when they are equal.
#[must_use]
pub fn differences(expected: &Fingerprints, found: &Fingerprints) -> Vec<Difference> {
    let missing = expected.iter().filter_map(|(table, expected)| {
        let table = table.clone();
        match found.get(&table) {
            None => Some(Difference::Missing { table }),
            Some(found) if found.rows != expected.rows => {
                Some(Difference::Rows { table, expected: expected.rows, found: found.rows })
            }
            Some(found) if found.hash != expected.hash => Some(Difference::Content { table }),
            Some(_) => None,
        }
    });
    let unexpected = found.keys().filter(|table| !expected.contains_key(*table));
    missing.chain(unexpected.map(|table| Difference::Unexpected { table: table.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(of: &[(&str, u64, &str)]) -> Fingerprints {
        let one = |&(name, rows, hash): &(&str, u64, &str)| {
            (name.to_owned(), TableFingerprint { rows, hash: hash.to_owned() })
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn every_kind_of_difference_is_found_and_named() {
        let expected = tables(&[("a", 1, "7"), ("b", 2, "8"), ("c", 3, "9"), ("d", 4, "10")]);
        let found = tables(&[("b", 2, "-8"), ("c", 2, "9"), ("d", 4, "10"), ("e", 0, "0")]);
        let texts: Vec<_> = differences(&expected, &found).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["a is missing", "b has other contents", "c has 2 rows instead of 3", "e should not be there"]
        );
        assert!(differences(&expected, &expected).is_empty());
    }
}
