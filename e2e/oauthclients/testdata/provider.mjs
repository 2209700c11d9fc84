// An authorization server on loopback: node provider.mjs LIBRARY PORT CLIENTS. Its pages accept
// every name and password.
const [library, port, clients] = process.argv.slice(2)
const { Provider } = await import(library)

const issuer = `http://127.0.0.1:${port}`
const provider = new Provider(issuer, {
  clients: JSON.parse(clients),
  scopes: ['openid', 'items:read'],
  claims: { openid: ['sub', 'preferred_username'] },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
  },
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  clientBasedCORS: (_, origin, client) => client.tokenEndpointAuthMethod === 'none' && origin.startsWith('http://127.0.0.1:'),
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
})
// Its metadata are those of RFC 8414 too, which it does not serve at that path.
provider.use((ctx, next) => {
  if (ctx.path === '/.well-known/oauth-authorization-server') ctx.path = '/.well-known/openid-configuration'
  return next()
})
provider.listen(Number(port), '127.0.0.1')
