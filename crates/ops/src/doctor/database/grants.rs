//! What the role needs and does not have: `deploy/sql/roles.sql`, read the other way round.

use std::collections::BTreeMap;

use parlant_db_pool::{Client, Type};

use crate::doctor::kinds::{DATABASE_GRANTS, SIM_TABLES};
use crate::doctor::sheet::Sheet;
use crate::doctor::shell::{identifier, psql};

/// What is granted one by one; a table that is not there is another finding. `roles.sql` has the same list.
macro_rules! sim_columns {
    () => {
        "('session', '{id,token,user_id,expires_at,active_organization_id,impersonated_by}'::name[]),
      ('user', '{id,name,email,email_verified,image,banned,ban_expires}'),
      ('workspace', '{id,name,organization_id,archived_at}'),
      ('permissions', '{id,user_id,entity_type,entity_id,permission_type}'),
      ('member', '{id,user_id,organization_id,role}')"
    };
}

const MISSING: &str = concat!(
    "-- doctor_grants
select c.relname::text as name, p.privilege, null as column
from pg_catalog.pg_class c
cross join unnest(case c.relname when 'parlant_migrations' then '{select}' else '{select,insert,update}' end::text[])
    as p (privilege)
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and starts_with(c.relname::text, 'parlant_')
    and not has_table_privilege(c.oid, p.privilege) and $1
union all
select t.name, 'select', a.attname::text
from (values
      ",
    sim_columns!(),
    "
) as t (name, columns)
join pg_catalog.pg_class c on c.relnamespace = 'public'::regnamespace and c.relname = t.name
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = any (t.columns) and not a.attisdropped
where not has_column_privilege(c.oid, a.attnum, 'select') and $2
union all
select 'schema public', 'usage', null where not has_schema_privilege('public', 'usage')"
);

const GONE: &str = concat!(
    "-- doctor_sim_tables
select case when c.oid is null then 'table ' || t.name else 'column ' || wanted.name || ' of ' || t.name end as what
from (values
      ",
    sim_columns!(),
    "
) as t (name, columns)
cross join unnest(t.columns) as wanted (name)
left join pg_catalog.pg_class c on c.relnamespace = 'public'::regnamespace and c.relname = t.name
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = wanted.name and not a.attisdropped
where a.attname is null
group by 1"
);

/// Looks at what the role may do with the bridge's tables, and with Sim's, where they are in this database.
pub(super) async fn look(client: &Client, bridge: bool, sim: bool) -> Result<Sheet, tokio_postgres::Error> {
    let mut sheet = Sheet::default();
    if sim {
        let gone = client.query_typed(GONE, &[]).await?;
        let gone: Vec<String> = gone.iter().map(|row| row.try_get("what")).collect::<Result<_, _>>()?;
        if !gone.is_empty() {
            let finding = SIM_TABLES.broken("Sim's tables are not what they should be").evidences(gone);
            sheet.find(
                finding.mend("psql \"$DATABASE_URL\" -c '\\d session' -c '\\d permissions'   # is it Sim's database?"),
            );
        }
    }
    let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in client.query_typed(MISSING, &[(&bridge, Type::BOOL), (&sim, Type::BOOL)]).await? {
        let (name, privilege): (String, String) = (row.try_get("name")?, row.try_get("privilege")?);
        let right = match row.try_get::<_, Option<String>>("column")? {
            Some(column) => format!("select ({})", identifier(&column)),
            None => privilege,
        };
        grants.entry(name).or_default().push(right);
    }
    if grants.is_empty() {
        return Ok(sheet);
    }
    let role: String = client.query_typed_one("-- doctor_role\nselect current_user::text", &[]).await?.try_get(0)?;
    let statement = |(name, rights): (&String, &Vec<String>)| {
        let on = if name == "schema public" { name.clone() } else { format!("public.{}", identifier(name)) };
        format!("grant {} on {on} to {}", rights.join(", "), identifier(&role))
    };
    let statements: Vec<_> = grants.iter().map(statement).collect();
    sheet.find(
        DATABASE_GRANTS
            .broken(format!("The role {role} lacks rights"))
            .evidences(grants.iter().map(|(name, rights)| format!("{name}: {}", rights.join(", "))))
            .mend(statements.iter().map(|one| psql(one)).collect::<Vec<_>>().join("\n")),
    );
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_columns_are_those_that_the_roles_are_granted() {
        let roles = include_str!("../../../../../deploy/sql/roles.sql");
        assert!(roles.contains(sim_columns!()), "{}", sim_columns!());
    }
}
