-- +goose Up

-- What there is one of. serves_from is the oldest version of the schema whose programs
-- can serve this one: a change that only adds leaves it as it is.
CREATE TABLE meta (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    identity       uuid    NOT NULL DEFAULT gen_random_uuid(),
    epoch          uuid    NOT NULL DEFAULT gen_random_uuid(),
    last_seq       bigint  NOT NULL DEFAULT 0,
    cut_seq        bigint  NOT NULL DEFAULT 0, -- of the last line that was cut from the journal
    hash           text,   -- how secrets are hashed, and the pepper's id, as in a file's header
    pepper         text,
    schema_version integer NOT NULL,
    serves_from    integer NOT NULL
);
INSERT INTO meta (schema_version, serves_from) VALUES (1, 1);

-- A line is that of the file format, without its newline. Times by which lists are
-- ordered are seconds and nanoseconds, since a timestamptz has microseconds.
CREATE TABLE journal (
    seq   bigint PRIMARY KEY,
    epoch uuid   NOT NULL,
    kind  text   NOT NULL,
    line  text   NOT NULL,
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE key_record (
    id           text COLLATE "C" PRIMARY KEY,
    made_seconds bigint  NOT NULL,
    made_nanos   integer NOT NULL,
    deleted      boolean NOT NULL,
    seq          bigint  NOT NULL,
    line         text    NOT NULL,
    user_name    text COLLATE "C" NOT NULL,
    project      text COLLATE "C" NOT NULL
);
CREATE INDEX key_record_made    ON key_record (made_seconds, made_nanos, id);
CREATE INDEX key_record_user    ON key_record (user_name, made_seconds, made_nanos, id);
CREATE INDEX key_record_project ON key_record (project, made_seconds, made_nanos, id) WHERE project <> '';

-- All secrets that a key has or had. No row is removed: an earlier secret stays one.
CREATE TABLE key_secret (
    digest bytea NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (digest, key_id)
);

CREATE TABLE user_record (
    id           text COLLATE "C" PRIMARY KEY,
    made_seconds bigint  NOT NULL,
    made_nanos   integer NOT NULL,
    deleted      boolean NOT NULL,
    seq          bigint  NOT NULL,
    line         text    NOT NULL,
    ended        boolean NOT NULL -- what an earlier user of the name had has ended
);
CREATE INDEX user_record_made  ON user_record (made_seconds, made_nanos, id);
CREATE INDEX user_record_ended ON user_record (id) WHERE ended;

CREATE TABLE project (
    id           text COLLATE "C" PRIMARY KEY,
    made_seconds bigint  NOT NULL,
    made_nanos   integer NOT NULL,
    deleted      boolean NOT NULL,
    seq          bigint  NOT NULL,
    line         text    NOT NULL
);
CREATE INDEX project_made ON project (made_seconds, made_nanos, id);

CREATE TABLE client (
    id           text COLLATE "C" PRIMARY KEY,
    made_seconds bigint  NOT NULL,
    made_nanos   integer NOT NULL,
    deleted      boolean NOT NULL,
    seq          bigint  NOT NULL,
    line         text    NOT NULL
);
CREATE INDEX client_made ON client (made_seconds, made_nanos, id);

-- A revocation has no id: id is where it is in a list. Of those that were copied from
-- files, several may lack a seq, which is zero then.
CREATE TABLE revocation (
    number       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C" NOT NULL,
    made_seconds bigint  NOT NULL,
    made_nanos   integer NOT NULL,
    deleted      boolean NOT NULL,
    seq          bigint  NOT NULL,
    line         text    NOT NULL,
    token_id     text COLLATE "C" NOT NULL,
    session_id   text COLLATE "C" NOT NULL,
    subject      text COLLATE "C" NOT NULL
);
CREATE INDEX revocation_made    ON revocation (made_seconds, made_nanos, id);
CREATE INDEX revocation_token   ON revocation (token_id)   WHERE token_id <> '';
CREATE INDEX revocation_session ON revocation (session_id) WHERE session_id <> '';
CREATE INDEX revocation_subject ON revocation (subject)    WHERE subject <> '';

-- change_id is that of the transaction that wrote the entry: a seq alone may be that of
-- another one, if the first was rolled back. open_since is set while it is not known
-- whether the change of the entry was made, since it is not one of this database.
CREATE TABLE audit (
    seq        bigint PRIMARY KEY,
    change_id  uuid NOT NULL,
    time       timestamptz NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    actor_key  text COLLATE "C" NOT NULL,
    action     text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    outcome    text NOT NULL,
    operation  text COLLATE "C" NOT NULL,
    line       text NOT NULL,
    open_since timestamptz
);
CREATE INDEX audit_time      ON audit (time);
CREATE INDEX audit_actor     ON audit (actor, seq);
CREATE INDEX audit_actor_key ON audit (actor_key, seq) WHERE actor_key <> '';
CREATE INDEX audit_target    ON audit (target, seq);
CREATE INDEX audit_action    ON audit (action, seq);
CREATE INDEX audit_operation ON audit (operation, seq) WHERE operation <> '';
CREATE INDEX audit_open      ON audit (seq) WHERE open_since IS NOT NULL;

-- How far each replica is, as it says itself. Roles see the rows that the policies of
-- roles.sql name; without them, none.
CREATE TABLE replica (
    login    text COLLATE "C" NOT NULL DEFAULT current_user,
    name     text COLLATE "C" NOT NULL,
    identity text   NOT NULL,
    epoch    text   NOT NULL,
    applied  bigint NOT NULL, -- the number up to which its copies are
    held     bigint NOT NULL, -- records that stay ended there although the database says otherwise
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (login, name)
);
ALTER TABLE replica ENABLE ROW LEVEL SECURITY;

-- What the journal amounts to, for a replica that begins or has a gap.
CREATE VIEW snapshot AS
    SELECT 'key' AS kind, id, seq, line FROM key_record
    UNION ALL SELECT 'user', id, seq, line FROM user_record
    UNION ALL SELECT 'project', id, seq, line FROM project
    UNION ALL SELECT 'client', id, seq, line FROM client
    UNION ALL SELECT 'revocation', id, seq, line FROM revocation;
