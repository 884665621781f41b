// Rows that Sim's own application writes, beside those that Better Auth does.
import { randomUUID } from 'node:crypto';

/** Now, in columns that hold UTC without saying so. */
const NOW = `(now() at time zone 'utc')`;

export class Rows {
  constructor(database) {
    this.database = database;
  }

  /** A workspace as Sim creates it: the owner's permission is a row like any other. */
  async workspace(owner, { name = 'Lab', organization = null, permission = 'admin' } = {}) {
    const id = randomUUID();
    await this.database.query(
      `insert into workspace
         (id, name, owner_id, billed_account_user_id, organization_id, workspace_mode, created_at, updated_at)
       values ($1, $2, $3, $3, $4, $5::workspace_mode, ${NOW}, ${NOW})`,
      [id, name, owner.id, organization, organization ? 'organization' : 'personal'],
    );
    if (permission) await this.permit(owner, id, permission);
    return id;
  }

  /** Grants, or changes what was granted. */
  async permit(person, workspace, permission) {
    await this.database.query(
      `insert into permissions (id, user_id, entity_type, entity_id, permission_type, created_at, updated_at)
       values ($1, $2, 'workspace', $3, $4::permission_type, ${NOW}, ${NOW})
       on conflict (user_id, entity_type, entity_id) do update set permission_type = excluded.permission_type`,
      [randomUUID(), person.id, workspace, permission],
    );
  }

  async forbid(person, workspace) {
    await this.database.query(
      `delete from permissions where user_id = $1 and entity_type = 'workspace' and entity_id = $2`,
      [person.id, workspace],
    );
  }

  async archive(workspace) {
    await this.database.query(`update workspace set archived_at = ${NOW} where id = $1`, [workspace]);
  }

  async unarchive(workspace) {
    await this.database.query('update workspace set archived_at = null where id = $1', [workspace]);
  }

  /** Moves the end of a session: `'-1 second'`, `'1 hour'`. */
  async endSessionIn(person, interval) {
    await this.database.query(
      `update session set expires_at = ${NOW} + $2::interval where token = $1`,
      [person.token, interval],
    );
  }

  /** Bans without ending sessions, until an interval from now or for ever (null). */
  async ban(person, interval = null) {
    await this.database.query(
      `update "user" set banned = true, ban_reason = 'test', ban_expires = ${NOW} + $2::interval where id = $1`,
      [person.id, interval],
    );
  }

  /** A platform administrator, which no API can make out of nothing. */
  async makePlatformAdmin(person) {
    await this.database.query(`update "user" set role = 'admin' where id = $1`, [person.id]);
  }

  async session(person) {
    const { rows } = await this.database.query(
      `select id, user_id, impersonated_by, active_organization_id,
              extract(epoch from expires_at at time zone 'utc') * 1000 as expires_at
       from session where token = $1`,
      [person.token],
    );
    return rows[0] && { ...rows[0], expires_at: Number(rows[0].expires_at) };
  }
}
