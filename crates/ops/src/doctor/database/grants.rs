//! What the role needs and does not have: `deploy/sql/roles.sql`, read the other way round.

use std::collections::BTreeMap;

use parlant_db_pool::Client;

use crate::doctor::Config;
use crate::doctor::kinds::DATABASE_GRANTS;
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
    and not has_table_privilege(c.oid, p.privilege)
union all
select t.name, 'select', a.attname::text
from (values
      ",
    sim_columns!(),
    "
) as t (name, columns)
join pg_catalog.pg_class c on c.relnamespace = 'public'::regnamespace and c.relname = t.name
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = any (t.columns) and not a.attisdropped
where not has_column_privilege(c.oid, a.attnum, 'select')
union all
select 'schema public', 'usage', null where not has_schema_privilege('public', 'usage')"
);

pub(super) async fn look(client: &Client, _config: &Config) -> Result<Sheet, tokio_postgres::Error> {
    let mut sheet = Sheet::default();
    let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in client.query_typed(MISSING, &[]).await? {
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
