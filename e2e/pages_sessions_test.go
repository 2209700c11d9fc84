package e2e

// session is what the commands of a section need, in the shell that runs them.
type session struct {
	before  string   // runs first; variables that it sets are the commands'
	replace []string // pairs: what the page has, such as a key's id, and what the shell gets
	after   string   // runs last: fails if the commands did not do what the page says

	postgres bool // the commands have a server, which the environment names
}

// cannotRun are commands that nothing can run here, by how they begin, and why.
var cannotRun = map[string]string{
	"docker":                       "needs a container engine; deploy/image and a test with buildah build the images",
	"skopeo":                       "needs a registry",
	"crane":                        "needs a registry",
	"kubectl":                      "needs a cluster; deploy/validate renders what is applied",
	"helm":                         "needs a cluster and its repositories; deploy/validate renders the chart",
	"make image VERSION=":          "builds for two platforms, and prints sizes and digests; deploy/image tests it",
	"go run ./bench -only checks ": "measures for minutes",
}

// prelude is what all sections can use.
const prelude = `
set -o allexport -o pipefail
new() { "$KEYWARD" key create "$@" 2> /dev/null; }
id() { printf %s "$1" | "$KEYWARD" key verify --json "${@:2}" | sed 's/.*"id":"\([^"]*\)".*/\1/'; }
serving() { # with keyward.yaml, until the section ends
	echo "$LISTEN" >> keyward.yaml
	"$KEYWARD" serve --config keyward.yaml > serve.log 2>&1 &
	trap "kill $! 2> /dev/null" EXIT
	until curl --silent --fail --output /dev/null "$ADMIN/readyz"; do kill -0 $! || { cat serve.log; exit 1; }; sleep 0.05; done
}
configured() { # with a console
	printf 'users: {file: users.jsonl}\naudit: {file: audit.jsonl}\nstate: {file: keyward.db}\n' > keyward.yaml
}
issuing() { # with an issuer
	printf 'keys: {file: ""}\nusers: {file: users.jsonl}\nclients: {file: clients.jsonl}\nrevocations: {file: revocations.jsonl}\naudit: {file: audit.jsonl}\nstate: {file: keyward.db}\n' > keyward.yaml
	printf 'listen: {issuer: "127.0.0.1:9195"}\nissuer: {url: "http://127.0.0.1:9195"}\n' >> keyward.yaml
}
managing() { # with a console, until the section ends
	configured
	"$KEYWARD" user set root --scope keyward:admin < /dev/null > /dev/null
	new --name root --user root --scope keyward:admin > admin.key
	LISTEN="${LISTEN%\}}, console: \"$CONSOLE\"}"
	serving
	API=http://$CONSOLE/api/v1
}
issuing() { # with an issuer and the user alice, until the section ends
	configured
	printf 'clients: {file: clients.jsonl}\nrevocations: {file: revocations.jsonl}\nissuer: {url: "https://api.example.com", cookie: token}\ncredentials: {cookie: token}\n' >> keyward.yaml
	new --name ci > /dev/null
	printf looking-glass | "$KEYWARD" user set alice > /dev/null
	LISTEN="${LISTEN%\}}, issuer: \"$ISSUER\"}"
	serving
}
central() { # with a central store, whose owner is in owner.yaml
	dropdb --if-exists keyward 2> /dev/null
	createdb keyward
	printf 'store: {url: "postgres:///keyward"}\nusers: {file: copies/users.jsonl}\nrevocations: {file: copies/revocations.jsonl}\nkeys: {file: copies/keys.jsonl}\n' > owner.yaml
	mkdir copies
	"$KEYWARD" store migrate --config owner.yaml > /dev/null
}
asking() { curl --silent --output /dev/null --header "Authorization: Bearer $1" --header 'X-Original-Method: GET' --header 'X-Original-URI: /posts' "$API/authz/nginx"; }
`

// stubs are programs that stand before the real ones: what runs until it is
// stopped ends when it is ready, and of make there is a dry run.
var stubs = map[string]string{
	"keyward": `
[ "$1" = serve ] || exec "$KEYWARD" "$@"
grep -q '^listen:' "$3" || echo "$LISTEN" >> "$3"
"$KEYWARD" "$@" > serve.log 2>&1 &
until grep -qs '"msg":"ready"' serve.log; do kill -0 $! || { cat serve.log; exit 1; }; sleep 0.05; done
cat serve.log
kill $!
wait $!
`,
	"make": `
plan=$(PATH=${PATH#*:} env -u MAKEFLAGS make --no-print-directory --dry-run --directory "$ROOT" "$@") || exit
case $plan in *"make prove ITEM="*) echo "no such item" >&2; exit 2;; esac
`,
	"promtool": `exec "$PROMTOOL" "$@"`,
	"prometheus": `
"$PROMETHEUS" "$@" --storage.tsdb.path=data --web.listen-address="$FREE" --log.level=warn &
until curl --silent --fail --output /dev/null "http://$FREE/-/ready"; do kill -0 $! || exit 1; sleep 0.05; done
kill $!
wait $!
`,
}

const (
	// Ids that the pages show.
	ciKey, blogKey, healthKey = "k_8ENbdXlcXqgH", "k_LpYZV6lZSKQ3", "k_iIMOMLPNS4Eu"
	clientID                  = "c_Zr4mXw09TqLb"

	rules = `
mkdir deploy && cp -r "$ROOT/deploy/prometheus" "$ROOT/deploy/grafana" deploy/ && cp deploy/prometheus/keyward.alerts.yml .
`
)

// sessions are those of the sections whose commands need something, by page and heading.
var sessions = map[string]session{
	"docs/postgres.md: Set it up": {
		postgres: true, before: "dropdb --if-exists keyward 2> /dev/null\n",
		after: `keyward key list --config owner.yaml | grep -q ci || exit 1`,
	},
	"docs/postgres.md: Move from files to the database, and back": {
		postgres: true,
		before: `
central
for name in files back; do
	mkdir $name
	printf "keys: {file: $name/keys.jsonl}\nusers: {file: $name/users.jsonl}\nrevocations: {file: $name/revocations.jsonl}\naudit: {file: $name/audit.jsonl}\n" > $name.yaml
done
new --name ci --config files.yaml > /dev/null
`,
		after: `keyward key list --config owner.yaml | grep -q ci && keyward key list --config back.yaml | grep -q ci || exit 1`,
	},
	"docs/postgres.md: Backup and restore": {postgres: true, before: "central\n"},
	"docs/commands.md: store migrate":      {postgres: true, before: "central\ndropdb keyward && createdb keyward\ncp owner.yaml keyward.yaml\n"},
	"docs/commands.md: store copy": {
		postgres: true,
		before: `
central
cp owner.yaml keyward.yaml
mkdir files
printf "keys: {file: files/keys.jsonl}\nusers: {file: files/users.jsonl}\naudit: {file: files/audit.jsonl}\n" > files.yaml
new --name ci --config files.yaml > /dev/null
`,
	},
	"docs/commands.md: store status": {
		postgres: true,
		before: `
central
cp owner.yaml keyward.yaml
psql --quiet keyward <<SQL
UPDATE meta SET last_seq = 2611;
INSERT INTO journal (seq, epoch, kind, line) SELECT seq, epoch, 'key', '{}' FROM meta, (VALUES (2610), (2611)) AS lines (seq);
INSERT INTO replica (login, name, identity, epoch, applied, held, lost) SELECT login, name, identity, epoch, applied, held, lost FROM meta, (VALUES
	('sidecar_1', 'web-1:/data/keys.jsonl', 2611, 0, 0), ('sidecar_2', 'web-2:/data/keys.jsonl', 2604, 1, 2)) AS r (login, name, applied, held, lost);
INSERT INTO replica_lost (login, replica, kind, id, seq, what) VALUES
	('sidecar_2', 'web-2:/data/keys.jsonl', 'key', 'k_8ENbdXlcXqgH', 2620, 'ended'), ('sidecar_2', 'web-2:/data/keys.jsonl', 'user', 'alice', 2618, 'missing');
SQL
`,
	},
	"docs/commands.md: store accept-restore": {postgres: true, before: "central\n"},
	"README.md: Create, rotate and revoke keys": {
		before: `ID=$(id $(new --name ci)) KEY=$(new --name blog)`, replace: []string{ciKey, "$ID"},
	},
	"README.md: Find unused keys": {
		before: `
echo 'usage: {file: usage.jsonl}' > keyward.yaml
KEY=$(new --name ci)
ID=$(id $KEY)
serving
asking $KEY
kill $! && wait $!
`,
		replace: []string{ciKey, "$ID"},
	},
	"README.md: Find out why a request was denied": {
		before: `
echo 'routes: [{path: /api/items, methods: [POST], scopes: [items:write]}]' > keyward.yaml
KEY=$(new --name ci --scope items:write)
`,
	},
	"docs/api.md: The first administrator": {
		before: "configured\n",
		after:  `"$KEYWARD" key verify < admin.key > /dev/null || exit 1`,
	},
	"docs/api.md: Create, use and revoke a key": {
		before:  "managing\nID=$(id $(new --name ci))\n",
		replace: []string{"http://127.0.0.1:9194", "http://$CONSOLE", "k_0123456789ab", "$ID", "curl -s ", "curl -sS --fail-with-body "},
		after:   `keyward key show $ID | grep -q revoked && keyward key list | grep -q alice || exit 1`,
	},
	"docs/api.md: Changes that do not overwrite each other": {
		before: `
managing
ETAG=$(curl -sS -o /dev/null -D - $API/users -H "Authorization: Bearer $(cat admin.key)" --json '{"name": "alice"}' | sed -n 's/^[Ee][Tt]ag: "\(.*\)".*/\1/p')
`,
		replace: []string{"toVjtdRBcz9Sdw4n", "'$ETAG'", "curl -s ", "curl -sS --fail-with-body "},
		after:   `keyward user list | grep alice | grep -q disabled || exit 1`,
	},
	"docs/api.md: Requests that are sent again": {
		before:  "managing\ncurl -sS $API/users -H \"Authorization: Bearer $(cat admin.key)\" --json '{\"name\": \"alice\"}'\n",
		replace: []string{"curl -s ", "curl -sS --fail-with-body "},
	},
	"docs/commands.md: Files": {
		before: `
CI=$(id $(new --name ci))
keyward token revoke --jti first > /dev/null
`,
		replace: []string{ciKey, "$CI"},
		after:   `! grep -q "$CI" keys.jsonl || exit 1`,
	},
	"docs/commands.md: key list, key show": {
		before: `
CI=$(id $(new --name ci --path /posts --scope read --expires 90d))
BLOG=$(id $(new --name blog --user bob --project blog))
USED=$(id $(new --file used.jsonl --name blog --user bob) --file used.jsonl)
new --name health --no-scopes > /dev/null
cat > usage.jsonl <<EOF
{"keyward":"usage","version":1,"since":"2026-11-22T10:00:00Z"}
{"id":"$USED","first":1795342787000000,"last":1795342801000000,"address":"192.0.2.7","results":{"ok":12,"insufficient_scope":1},` +
			`"outcomes":[[1795342800000000,"GET","/posts/17",200,"ok"],[1795342801000000,"DELETE","/posts/17",403,"insufficient_scope"]]}
{"id":"$USED","days":[[$(($(date +%s) / 86400 - 1)),12,1,0]],"previous":0}
EOF
`,
		replace: []string{blogKey, "$BLOG", "k_N7lhCpIswRmm", "--file used.jsonl $USED"},
	},
	"docs/commands.md: Through a running Keyward": {
		before:  "managing\nchmod 600 admin.key\n",
		replace: []string{"http://127.0.0.1:9194", "http://$CONSOLE"},
		after:   `env -u KEYWARD_SERVER "$KEYWARD" key list | grep -q 'ci .*alice' || exit 1`,
	},
	"docs/commands.md: key update, key pause, key resume, key end-grace": {
		before: `BLOG=$(id $(new --name blog --user bob --project blog))`, replace: []string{blogKey, "$BLOG"},
		after: `keyward key end-grace $BLOG && keyward key list | grep -q "$BLOG.* active" || exit 1`,
	},
	"docs/commands.md: project create, list, show, delete": {
		before: "configured\necho 'projects: {file: projects.jsonl}' >> keyward.yaml\n\"$KEYWARD\" user set alice < /dev/null > /dev/null\n",
	},
	"docs/commands.md: client create, list, show, rotate, disable, enable, delete": {
		before:  `shop() { keyward client list --json | sed 's/.*"id":"\(c_[^"]*\)".*/\1/'; }`,
		replace: []string{clientID, "$(shop)"},
		after:   `[ "$(keyward client list --json)" = '[]' ] || exit 1`,
	},
	"docs/commands.md: key revoke, key delete": {
		before:  `CI=$(id $(new --name ci)) HEALTH=$(id $(new --name health))`,
		replace: []string{ciKey, "$CI", healthKey, "$HEALTH"},
	},
	"docs/api.md: Import keys of another system": {
		before:  "managing\n\"$KEYWARD\" user set alice --scope posts:read < /dev/null > /dev/null\n",
		replace: []string{"curl -s ", "curl -sS --fail-with-body "},
		after:   `keyward key list | grep -q 'billing .*alice' || exit 1`,
	},
	"docs/api.md: One-time links": {
		before:  "managing\ncurl -sS $API/users -H \"Authorization: Bearer $(cat admin.key)\" --json '{\"name\": \"alice\"}'\n",
		replace: []string{"curl -s $LINK", "LINK=$(curl -s $API/users/alice/password -H \"Authorization: Bearer $(cat admin.key)\" --json '{\"link\": true}' | sed 's/.*\"link\":\"\\([^\"]*\\)\".*/\\1/'); curl -sSf $LINK"},
	},
	"docs/console-login.md: Which user a person is": {
		before:  "managing\n\"$KEYWARD\" user set alice < /dev/null > /dev/null\n",
		replace: []string{"curl -s ", "curl -sS --fail-with-body "},
		after:   `grep -q '"oidc_subject":"248289761001"' users.jsonl || exit 1`,
	},
	"docs/issuer.md: Log in, refresh, log out": {
		before:  "issuing\n",
		replace: []string{"https://api.example.com/", "http://$ISSUER/", "curl -s ", "curl -sS --fail-with-body "},
		after:   `grep -q '"sid"' revocations.jsonl || exit 1`,
	},
	"docs/issuer.md: Tokens in cookies": {
		before:  "issuing\n",
		replace: []string{"https://api.example.com/", "http://$ISSUER/", "curl -s ", "curl -sS --fail-with-body "},
		after:   `grep -q '"sid"' revocations.jsonl || exit 1`,
	},
	"docs/commands.md: key rotate": {before: `BLOG=$(id $(new --name blog))`, replace: []string{blogKey, "$BLOG"}},
	"docs/commands.md: key import": {
		before: `
printf 'old-key-0123456789abcdef\nold-key-123456789abcdef0\n' > old-keys
printf 'name,key,team,owner\nweb,abcdefabcdefabcdefabcdef,shop,alice\njob,0123456789abcdef01234567,shop,bob\n' > keys.csv
printf 'key,user\nsha256:LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=,alice\nsha256:BTBX_ampNfLU-ox7xipBGiaSbgC0kcB8Gy7BkJB4oKI,bob\n' > hashes.csv
`,
	},
	"docs/commands.md: key verify": {before: `KEY=$(new --name blog --user bob --project blog)`},
	"docs/commands.md: key compact": {
		before: `
ID=$(id $(new --name ci))
for _ in 1 2 3 4 5; do keyward key rotate $ID > /dev/null 2>&1; done
`,
	},
	"docs/commands.md: limits show, limits reset": {
		before: `
CHECKS=$API
eval "also_$(declare -f configured)"
configured() { also_configured && echo 'rate_limits: {api_key: {rate: 1000/h, burst: 50}}' >> keyward.yaml; }
KEY=$(new --name ci)
ID=$(id $KEY)
managing
chmod 600 admin.key
API=$CHECKS
for _ in 1 2 3; do asking $KEY; done
`,
		replace: []string{"http://127.0.0.1:9194", "http://$CONSOLE", "limits show k_BwuzCnlTbTgT", "limits show --admin $FREE $ID", "k_BwuzCnlTbTgT", "$ID"},
	},
	"docs/console.md: The first login":  {before: `configured; echo 'listen: {console: "127.0.0.1:9194"}' >> keyward.yaml`},
	"docs/commands.md: admin bootstrap": {before: `configured; echo 'listen: {console: "127.0.0.1:9194"}' >> keyward.yaml`},
	"docs/commands.md: issuer rotate":   {before: `issuing`},
	"docs/commands.md: issuer status":   {before: `issuing; keyward issuer rotate --revoke-old --config keyward.yaml > /dev/null`},
	"docs/commands.md: audit list": {
		before: `
configured
CI=$("$KEYWARD" key create --json --config keyward.yaml --name ci --path /posts --scope read --expires 90d | sed 's/.*"id":"\([^"]*\)".*/\1/')
keyward key revoke --config keyward.yaml $CI > /dev/null
`,
	},
	"docs/commands.md: check": {
		before: `
cat > keyward.yaml <<EOF
credentials: {header: X-API-Key}
routes: [{name: health, path: =/health, auth: none}, {name: posts, path: /posts}]
EOF
KEY=$(new --name ci --path /posts)
`,
	},
	"docs/commands.md: config validate": {
		before: `
cat > bad.yaml <<'EOF'
keys:
  prefix: [acme_]
  file: "${KEYS_DIR}/keys.jsonl"
cache: {ttl: 5 minutes}
log: {level: inof}
EOF
cat > files.yaml <<EOF
keys: {file: no.jsonl}
jwt:
- {issuer: "https://id.example.com", audiences: [api], algorithms: [EdDSA], jwks_file: jwks.json}
EOF
cat > jwks.json <<EOF
{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"OKP","crv":"X25519","kid":"odd","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}
EOF
new --name ci > /dev/null
echo '{}' > keyward.yaml
`,
	},
	"docs/commands.md: serve": {before: `new --name ci > /dev/null; echo 'keys: {file: keys.jsonl}' > keyward.yaml`},
	"docs/kubernetes.md: Keys": {
		after: `[ -s keys.jsonl ] && [ "$(stat --format %a pepper)" = 600 ] || exit 1`,
	},
	"docs/monitoring.md: Prometheus": {
		before: rules,
		after: `
grep -q 'runbook_url: https://wiki.acme.example/keyward/docs/' keyward.alerts.yml && ! grep -q 'runbook_url: https://docs' keyward.alerts.yml || exit 1
[ "$(grep -c '^kind: PrometheusRule$' rules.yaml)" = 2 ] || exit 1
`,
	},
	"docs/monitoring.md: Objectives": {
		before: rules,
		replace: []string{"promtool test rules", `grep -q '1 - 0.9995' deploy/prometheus/keyward.alerts.yml && grep -q '1 - 0.9995' deploy/grafana/keyward.json &&
cp "$ROOT"/deploy/prometheus/*.yml deploy/prometheus/ && promtool test rules`},
	},
	"docs/runbooks.md: Runbooks": {before: `KEY=$(new --name ci); echo 'keys: {file: keys.jsonl}' > keyward.yaml; serving; asking $KEY`},
}
