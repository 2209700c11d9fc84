"""Authlib against an authorization server: PYTHONPATH=DIR python3 authlib_client.py SETUP.

SETUP and the lines are those of openid_client.mjs.
"""
import json
import sys
import urllib.request

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import KeySet

setup = json.loads(sys.argv[1])


def ok(step):
    print("ok", step, flush=True)


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def at_api(token):
    """The status of the API's answer, for a server whose tokens an API accepts here."""
    request = urllib.request.Request(setup["api"], headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


server = AuthorizationServerMetadata(get(get_well_known_url(setup["issuer"], external=True)))
server.validate()
assert server["issuer"] == setup["issuer"]
ok("metadata of RFC 8414")


def session(scope):
    return OAuth2Session(
        setup["client"], setup["secret"] or None, token_endpoint_auth_method=setup["method"], scope=scope,
        redirect_uri=setup["redirect"], code_challenge_method="S256",
    )


user, verifier, nonce = session("openid items:read"), generate_token(48), generate_token(20)
url, state = user.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
print("open", url, flush=True)
first = user.fetch_token(
    server["token_endpoint"], authorization_response=sys.stdin.readline().strip(), code_verifier=verifier, state=state,
)
assert first["refresh_token"] and first["scope"] == "openid items:read"
ok("code with PKCE")

keys = KeySet.import_key_set(get(server["jwks_uri"]))
claims = jwt.decode(first["id_token"], keys, algorithms=server["id_token_signing_alg_values_supported"]).claims
assert claims["nonce"] == nonce and claims["aud"] == setup["client"] and claims["sub"] == setup["user"]
ok("ID token with nonce")
assert user.get(server["userinfo_endpoint"]).json()["preferred_username"] == setup["user"]
ok("userinfo")

second = user.refresh_token(server["token_endpoint"], first["refresh_token"])
assert second["refresh_token"] != first["refresh_token"] and second["access_token"] != first["access_token"]
if setup["api"]:
    assert at_api(second["access_token"]) == 200
ok("refresh")

if setup["method"] != "none":
    active = user.introspect_token(server["introspection_endpoint"], token=second["access_token"]).json()
    assert active["active"] and active["client_id"] == setup["client"]
    ok("introspection")
assert user.revoke_token(server["revocation_endpoint"], token=second["refresh_token"]).status_code == 200
try:
    user.refresh_token(server["token_endpoint"], second["refresh_token"])
    sys.exit("a refresh after the revocation")
except OAuthError as e:
    assert e.error == "invalid_grant", e
if setup["api"]:
    assert at_api(second["access_token"]) == 401
ok("revocation")

if setup["method"] != "none":
    own = session("items:read").fetch_token(server["token_endpoint"], grant_type="client_credentials")
    assert "refresh_token" not in own
    if setup["api"]:
        assert at_api(own["access_token"]) == 200
    ok("client_credentials")
