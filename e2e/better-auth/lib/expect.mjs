// The answers of the bridge that many tests ask for.
import assert from 'node:assert/strict';

const PERMISSIONS = { read: ['read'], write: ['read', 'write'], admin: ['read', 'write', 'admin'] };

const describeAnswer = ({ status, text }) => `${status} ${text}`;

/** The error envelope, with this status and code. */
export function assertError(answer, status, code) {
  assert.equal(answer.status, status, describeAnswer(answer));
  const { error } = answer.json;
  assert.equal(error.code, code, describeAnswer(answer));
  assert.equal(typeof error.message, 'string');
  assert.ok(Math.abs(Date.parse(error.timestamp) - Date.now()) < 60_000, error.timestamp);
  assert.equal(error.request_id, answer.headers['x-request-id']);
  return error;
}

export function assertRefused(answer) {
  const error = assertError(answer, 401, 'INVALID_TOKEN');
  assert.equal(error.message, 'Invalid or expired session token');
  assert.match(answer.headers['www-authenticate'], /^Bearer/);
}

/** An outage: never a refusal, and it says when to come back. */
export function assertUnavailable(answer) {
  assertError(answer, 503, 'SERVICE_UNAVAILABLE');
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
}

export function assertDenied(answer, { person, workspace, permission }) {
  const error = assertError(answer, 403, 'WORKSPACE_ACCESS_DENIED');
  assert.equal(error.message, 'Access denied to workspace ID');
  assert.deepEqual(error.details, {
    workspace_id: workspace,
    user_id: person.id,
    required_permission: permission,
  });
}

/** `/api/v1/auth/status` of this person; returns the body. */
export function assertAdmitted(answer, person) {
  assert.equal(answer.status, 200, describeAnswer(answer));
  assert.equal(answer.json.authenticated, true, describeAnswer(answer));
  assert.deepEqual(answer.json.user, {
    id: person.id,
    email: person.email,
    name: person.name,
    email_verified: false,
    image: null,
  });
  return answer.json;
}

/** The caller's workspaces are these and no others: `{[id]: 'read' | 'write' | 'admin'}`. */
export function assertWorkspaces(answer, expected) {
  assert.equal(answer.status, 200, describeAnswer(answer));
  const present = Object.fromEntries(answer.json.workspaces.map(({ id, permissions }) => [id, permissions]));
  const wanted = Object.fromEntries(Object.entries(expected).map(([id, name]) => [id, PERMISSIONS[name]]));
  assert.deepEqual(present, wanted);
}
