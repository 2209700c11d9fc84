// An OpenID provider on loopback: node provider.mjs LIBRARY PORT CLIENT_SECRET REDIRECT_URI.
// Its pages accept every name and password. The name is the person's.
const [library, port, secret, redirect] = process.argv.slice(2)
const { Provider } = await import(library)

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'keyward', client_secret: secret, redirect_uris: [redirect] }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username', 'groups'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: `sub-${id}`, preferred_username: id, email: `${id}@example.com`, email_verified: true, groups: id === 'boss' ? ['admins'] : [],
    }),
  }),
})
provider.listen(Number(port), '127.0.0.1')
