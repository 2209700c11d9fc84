// openid-client against an authorization server: node openid_client.mjs LIBRARY SETUP. SETUP is
// the JSON of a Go struct, setup. It prints "open URL", reads the URL at which the browser
// arrived, and prints "ok STEP" for each step. It ends with 1 at the first failure.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'

const [library, text] = process.argv.slice(2)
const oauth = await import(library)
const setup = JSON.parse(text)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const ok = (step) => console.log(`ok ${step}`)

const authentication = {
  client_secret_basic: () => oauth.ClientSecretBasic(setup.secret),
  client_secret_post: () => oauth.ClientSecretPost(setup.secret),
  none: () => oauth.None(),
}[setup.method]()
const discover = (algorithm) =>
  oauth.discovery(new URL(setup.issuer), setup.client, undefined, authentication, { algorithm, execute: [oauth.allowInsecureRequests] })

assert.equal((await discover('oauth2')).serverMetadata().issuer, setup.issuer)
ok('metadata of RFC 8414')
const config = await discover('oidc')
oauth.enableNonRepudiationChecks(config) // verifies signatures, although the ID token came by TLS
const server = config.serverMetadata()
assert(server.authorization_response_iss_parameter_supported && server.supportsPKCE('S256'))
ok('discovery')

// authorize sends a browser through the pages, and returns the URL and what the client keeps.
async function authorize(scope) {
  const kept = { pkceCodeVerifier: oauth.randomPKCECodeVerifier(), expectedState: oauth.randomState(), expectedNonce: oauth.randomNonce(), idTokenExpected: true }
  const url = oauth.buildAuthorizationUrl(config, {
    redirect_uri: setup.redirect, scope, state: kept.expectedState, nonce: kept.expectedNonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(kept.pkceCodeVerifier), code_challenge_method: 'S256',
  })
  console.log(`open ${url}`)
  return [new URL((await lines.next()).value), kept]
}

const scope = 'openid items:read'
const [arrived, kept] = await authorize(scope)
const wrongIssuer = (err) => /"iss"/.test(err.cause.message)
const other = new URL(arrived)
other.searchParams.set('iss', 'https://other.example.com')
await assert.rejects(oauth.authorizationCodeGrant(config, other, kept), wrongIssuer)
other.searchParams.delete('iss')
await assert.rejects(oauth.authorizationCodeGrant(config, other, kept), wrongIssuer)
ok('iss')
let tokens = await oauth.authorizationCodeGrant(config, arrived, kept)
assert.equal(tokens.token_type, 'bearer')
assert(tokens.expires_in > 0 && tokens.refresh_token)
ok('code with PKCE')
const { sub, nonce, aud } = tokens.claims()
assert.deepEqual([sub, nonce, [aud].flat()], [setup.user, kept.expectedNonce, [setup.client]])
ok('ID token with nonce')
assert.equal((await oauth.fetchUserInfo(config, tokens.access_token, sub)).preferred_username, setup.user)
ok('userinfo')

// atAPI is the status of the API's answer, for a server whose tokens an API accepts here.
async function atAPI(token) {
  return (await fetch(setup.api, { headers: { authorization: `Bearer ${token}` } })).status
}
async function accepted(token) {
  if (setup.api) assert.equal(await atAPI(token), 200)
}
await accepted(tokens.access_token)

const before = tokens
tokens = await oauth.refreshTokenGrant(config, before.refresh_token)
assert(tokens.refresh_token !== before.refresh_token && tokens.access_token !== before.access_token)
await accepted(tokens.access_token)
ok('refresh')

if (setup.method !== 'none') {
  const active = await oauth.tokenIntrospection(config, tokens.access_token)
  assert.deepEqual([active.active, active.client_id, active.sub, active.scope], [true, setup.client, setup.user, scope])
  ok('introspection')
}
await oauth.tokenRevocation(config, tokens.refresh_token)
await assert.rejects(oauth.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' })
await oauth.tokenRevocation(config, 'no token')
if (setup.api) assert.equal(await atAPI(tokens.access_token), 401)
if (setup.method !== 'none') {
  assert.equal((await oauth.tokenIntrospection(config, tokens.refresh_token)).active, false)
}
ok('revocation')

const [again, keptAgain] = await authorize('openid')
await assert.rejects(oauth.authorizationCodeGrant(config, again, { ...keptAgain, pkceCodeVerifier: oauth.randomPKCECodeVerifier() }), { error: 'invalid_grant' })
ok('another verifier')

if (setup.method !== 'none') {
  const own = await oauth.clientCredentialsGrant(config, { scope: 'items:read' })
  assert(own.access_token && !own.refresh_token && !own.id_token)
  await accepted(own.access_token)
  await oauth.tokenRevocation(config, own.access_token)
  if (setup.api) assert.equal(await atAPI(own.access_token), 401)
  ok('client_credentials')
}
process.exit(0)
