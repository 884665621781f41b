// `GET /api/workspaces` as Sim answers it.
import { randomUUID } from 'node:crypto';

/** Explicit permission, or admin for an owner or admin of the workspace's organization. */
const LIST = `
select w.*,
       case when m.id is not null then 'admin' else p.permission_type::text end as permissions,
       m.id is not null as is_org_admin
from workspace w
left join permissions p on p.entity_type = 'workspace' and p.entity_id = w.id and p.user_id = $1
left join member m
  on m.organization_id = w.organization_id and m.user_id = $1 and m.role in ('owner', 'admin')
where (p.id is not null or m.id is not null)
  and case $2 when 'active' then w.archived_at is null when 'archived' then w.archived_at is not null else true end
order by w.created_at desc, w.id`;

const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

function present(row, userId) {
  const workspace = Object.fromEntries(Object.entries(row).map(([name, value]) => [camelCase(name), value]));
  const role = row.owner_id === userId ? 'owner' : row.permissions === 'admin' ? 'admin' : 'member';
  return {
    ...workspace,
    role,
    inviteMembersEnabled: false,
    inviteDisabledReason: null,
    inviteUpgradeRequired: false,
  };
}

/** The trap in the default scope: whoever has no active workspace gets one made. */
async function createDefault(database, user) {
  const id = randomUUID();
  await database.query(
    `insert into workspace (id, name, owner_id, billed_account_user_id) values ($1, $2, $3, $3)`,
    [id, `${user.name}'s Workspace`, user.id],
  );
  await database.query(
    `insert into permissions (id, user_id, entity_type, entity_id, permission_type)
     values ($1, $2, 'workspace', $3, 'admin')`,
    [randomUUID(), user.id, id],
  );
}

export async function workspaces({ auth, database, headers, scope }) {
  const found = await auth.api.getSession({ headers });
  if (!found?.user) return { status: 401, body: { error: 'Unauthorized' } };
  if (!['active', 'archived', 'all'].includes(scope)) return { status: 400, body: { error: 'Invalid scope' } };
  let { rows } = await database.query(LIST, [found.user.id, scope]);
  if (rows.length === 0 && scope === 'active') {
    await createDefault(database, found.user);
    ({ rows } = await database.query(LIST, [found.user.id, scope]));
  }
  return {
    status: 200,
    body: {
      workspaces: rows.map((row) => present(row, found.user.id)),
      lastActiveWorkspaceId: null,
      pinnedWorkspaceIds: [],
      creationPolicy: { canCreate: true },
    },
  };
}
