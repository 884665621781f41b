// Better Auth as Sim configures it: its session options, its plugins, its tables. `nextCookies` is left out because
// it does nothing without Next.js; so are the plugins that Sim loads only with keys for paid services.
import { betterAuth } from 'better-auth';
import { admin, customSession, emailOTP, genericOAuth, oneTimeToken, organization } from 'better-auth/plugins';

const DAY = 24 * 60 * 60;

/** Sim's columns are in snake case: `{emailVerified: 'email_verified', …}`. */
const columns = (...names) =>
  Object.fromEntries(names.map((name) => [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]));

export function simAuth({ appUrl, secret, database }) {
  return betterAuth({
    baseURL: appUrl,
    trustedOrigins: [appUrl],
    secret,
    database,
    session: {
      cookieCache: { enabled: true, maxAge: 5 * 60 },
      expiresIn: 30 * DAY,
      updateAge: DAY,
      freshAge: 0,
      modelName: 'session',
      fields: columns('expiresAt', 'createdAt', 'updatedAt', 'ipAddress', 'userAgent', 'userId'),
    },
    user: {
      modelName: 'user',
      fields: columns('emailVerified', 'createdAt', 'updatedAt'),
      deleteUser: { enabled: false },
    },
    account: {
      modelName: 'account',
      fields: columns(
        'accountId',
        'providerId',
        'userId',
        'accessToken',
        'refreshToken',
        'idToken',
        'accessTokenExpiresAt',
        'refreshTokenExpiresAt',
        'createdAt',
        'updatedAt',
      ),
      accountLinking: { enabled: true, allowDifferentEmails: true },
    },
    verification: {
      modelName: 'verification',
      fields: columns('expiresAt', 'createdAt', 'updatedAt'),
    },
    emailAndPassword: { enabled: true, sendResetPassword: async () => {} },
    telemetry: { enabled: false },
    plugins: [
      admin({
        schema: {
          user: { fields: columns('banReason', 'banExpires') },
          session: { fields: columns('impersonatedBy') },
        },
      }),
      oneTimeToken({ expiresIn: 24 * 60 }),
      customSession(async ({ user, session }) => ({ user, session })),
      emailOTP({ sendVerificationOTP: async () => {} }),
      genericOAuth({ config: [] }),
      organization({
        schema: {
          session: { fields: columns('activeOrganizationId') },
          organization: { fields: columns('createdAt') },
          member: { fields: columns('userId', 'organizationId', 'createdAt') },
          invitation: { fields: columns('inviterId', 'organizationId', 'expiresAt', 'createdAt') },
        },
        sendInvitationEmail: async () => {},
      }),
    ],
  });
}
