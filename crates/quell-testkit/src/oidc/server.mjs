// An OAuth server, resources that take its tokens, and a door for tests. Arguments: the folder of packages, a file that says when all
// of it listens, and options as JSON. https://github.com/panva/node-oidc-provider/blob/v8.8.1/docs/README.md
import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';

const [packages, ready, text] = process.argv.slice(2);
const options = JSON.parse(text);
const load = (path) => import(`${packages}/node_modules/${path}`);
const { default: Provider } = await load('oidc-provider/lib/index.js');
const { createRemoteJWKSet, jwtVerify } = await load('jose/dist/node/esm/index.js');

const listen = (server) =>
  new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const front = createServer();
const port = await listen(front);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [{ client_id: 'resource', client_secret: options.resourceSecret, grant_types: [], redirect_uris: [], response_types: [] }],
  cookies: { keys: [randomBytes(16).toString('hex')] },
  scopes: ['openid', 'profile', 'offline_access', 'orders'],
  // An account is called `ines+sre,sec`: name and groups.
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, preferred_username: id.split('+')[0], groups: (id.split('+')[1] ?? '').split(',') }),
  }),
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, ClientCredentials: options.life, Grant: 86400, RefreshToken: 86400 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    registration: {
      enabled: true,
      initialAccessToken: true,
      // A policy may change what is registered; on an update that is where a server gives a new secret (RFC 7592, section 2.2).
      policies: {
        keeps: () => {},
        rotates: (ctx, properties) => {
          if (ctx.method === 'PUT') properties.client_secret = randomBytes(24).toString('hex');
        },
      },
    },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: options.rotatesRegistration },
    // Tokens for `urn:local` are JWTs, which this server does not keep: it can neither revoke them nor say anything of them.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'orders',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
const callback = provider.callback();
// Who sits at the browser is said by a header; they agree to everything.
front.on('request', async (request, response) => {
  const account = request.headers['x-sign-in-as'];
  if (!request.url.startsWith('/interaction/') || !account) return callback(request, response);
  const { params } = await provider.interactionDetails(request, response);
  const grant = new provider.Grant({ accountId: account, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId: account }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
});

const body = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return chunks.length ? JSON.parse(Buffer.concat(chunks)) : {};
};
const say = (response, status, value, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
};
const invalid = (response) =>
  say(response, 401, { error: 'invalid_token' }, { 'www-authenticate': 'Bearer realm="orders", error="invalid_token"' });

const asked = async (token) => {
  const basic = Buffer.from(`resource:${options.resourceSecret}`).toString('base64');
  const answer = await fetch(`${issuer}/token/introspection`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ token }),
  });
  const seen = await answer.json();
  return answer.status === 200 && seen.active === true && seen.token_type === 'Bearer';
};
const cache = new Map();
const remembered = async (token) => {
  const known = cache.get(token);
  if (known && known.until > Date.now()) return known.active;
  const active = await asked(token);
  cache.set(token, { active, until: Date.now() + options.cacheMs });
  return active;
};
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
const local = (token) => jwtVerify(token, keys, { issuer, audience: 'urn:local' }).then(() => true, () => false);

const narrow = (response) =>
  say(response, 403, {}, { 'www-authenticate': 'Bearer realm="orders", error="insufficient_scope", scope="refunds"' });

// `/asks` introspects each time, `/refunds` does too and wants a scope that nobody has, `/caches` keeps what it was told, `/local` checks a signature, `/open` lets everybody in.
const resource = createServer(async (request, response) => {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  const path = request.url.split('?')[0];
  if (path === '/open') return say(response, 200, {});
  if (path === '/wall') return response.writeHead(401, { 'content-type': 'text/html' }).end('<html>Log in</html>');
  const check = { '/asks': asked, '/refunds': asked, '/caches': remembered, '/local': local }[path];
  if (!check) return say(response, 404, {});
  if (scheme !== 'Bearer' || !token) return say(response, 401, {}, { 'www-authenticate': 'Bearer realm="orders"' });
  if (!(await check(token))) return invalid(response);
  return path === '/refunds' ? narrow(response) : say(response, 200, { orders: 3 });
});
const resourcePort = await listen(resource);

// What people and administrators do in a browser.
const acts = {
  initial: async ({ policy }) => ({ token: await new provider.InitialAccessToken({ policies: [policy] }).save() }),
  registration: async ({ client, policy }) => ({
    token: await new provider.RegistrationAccessToken({ clientId: client, policies: [policy] }).save(),
  }),
  consent: async ({ client: id, account }) => {
    const client = await provider.Client.find(id);
    const grant = new provider.Grant({ accountId: account, clientId: id });
    grant.addOIDCScope('openid offline_access');
    const grantId = await grant.save();
    const of = { accountId: account, client, grantId, gty: 'authorization_code', scope: 'openid offline_access' };
    const refresh = await new provider.RefreshToken({ ...of, rotations: 0 }).save();
    return { refresh_token: refresh, access_token: await new provider.AccessToken(of).save() };
  },
};
const door = createServer(async (request, response) => {
  const act = acts[request.url.slice(1)];
  return act ? say(response, 200, await act(await body(request))) : say(response, 404, {});
});
const doorPort = await listen(door);

writeFileSync(`${ready}.part`, JSON.stringify({ port, resourcePort, doorPort }));
renameSync(`${ready}.part`, ready);
