-- +goose Up

-- What the issuer keeps for OAuth 2.0: authorization codes, by their hash, which consents
-- users gave, and the sessions of its login page.
-- Times are milliseconds since 1970.
UPDATE meta SET schema_version = 4;

ALTER TABLE state_grant ADD COLUMN client_gen bigint NOT NULL DEFAULT 0;
ALTER TABLE state_grant ADD COLUMN resources  text   NOT NULL DEFAULT 'null'; -- JSON
ALTER TABLE state_grant ADD COLUMN auth_time  bigint NOT NULL DEFAULT 0;

CREATE TABLE state_auth_code (
    hash         bytea PRIMARY KEY,
    grant_id     text COLLATE "C" NOT NULL,
    redirect_uri text   NOT NULL,
    challenge    text   NOT NULL,
    nonce        text   NOT NULL,
    expires      bigint NOT NULL,
    used         bigint -- NULL: not yet
);
CREATE INDEX state_auth_code_grant ON state_auth_code (grant_id);

CREATE TABLE state_consent (
    "user" text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    scopes text   NOT NULL, -- JSON
    given  bigint NOT NULL,
    PRIMARY KEY ("user", client)
);

CREATE TABLE state_issuer_session (LIKE state_session INCLUDING ALL);
