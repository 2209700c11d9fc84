-- +goose Up

-- What logins and consents gave, and the refresh tokens of each, which the issuer keeps.
-- Times are milliseconds since 1970. No secret is here: a refresh token is looked up by its
-- hash, and its successor can be read with that token alone.
UPDATE meta SET schema_version = 3;

CREATE TABLE state_grant (
    id      text COLLATE "C" PRIMARY KEY,
    "user"  text COLLATE "C" NOT NULL,
    client  text COLLATE "C" NOT NULL,
    scopes  text   NOT NULL, -- JSON
    gen     bigint NOT NULL,
    address text   NOT NULL,
    began   bigint NOT NULL,
    expires bigint NOT NULL  -- of its latest refresh token
);
CREATE INDEX state_grant_user    ON state_grant ("user", client, began);
CREATE INDEX state_grant_expires ON state_grant (expires);

CREATE TABLE state_refresh (
    hash      bytea PRIMARY KEY,
    grant_id  text COLLATE "C" NOT NULL,
    expires   bigint NOT NULL,
    used      bigint, -- NULL: not yet
    successor bytea   -- encrypted under the token
);
CREATE INDEX state_refresh_grant   ON state_refresh (grant_id);
CREATE INDEX state_refresh_expires ON state_refresh (expires);

-- The keys with which the issuer signs tokens. They are one set, which is replaced in
-- one step: version grows with each change, and a change that expects another version is
-- not made.
CREATE TABLE signing_set (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint  NOT NULL CHECK (version > 0)
);

-- Private keys are encrypted, under a secret that is not here.
CREATE TABLE signing_key (
    id        text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) <= 64), -- the thumbprint of the public key
    record    text  NOT NULL CHECK (octet_length(record) BETWEEN 1 AND 4096), -- JSON: what it is for, and since when
    secret_id text COLLATE "C" NOT NULL CHECK (octet_length(secret_id) <= 64), -- of the secret; says nothing about it
    sealed    bytea NOT NULL CHECK (octet_length(sealed) <= 16384), -- nonce, PKCS #8 in AES-256-GCM
    made      timestamptz NOT NULL DEFAULT clock_timestamp()
);
