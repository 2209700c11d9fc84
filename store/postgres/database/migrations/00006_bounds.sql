-- +goose Up

-- What a login can do that was taken over is bounded here. A program of version 1 takes
-- other locks, and sets columns that it no longer may.
UPDATE meta SET schema_version = 2, serves_from = 2;

-- No line is longer than readers accept (jsonline.MaxLine), or is two.
ALTER TABLE journal     ADD CONSTRAINT journal_line     CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0), ADD CONSTRAINT journal_kind CHECK (octet_length(kind) <= 64);
ALTER TABLE key_record  ADD CONSTRAINT key_record_line  CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);
ALTER TABLE user_record ADD CONSTRAINT user_record_line CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);
ALTER TABLE project     ADD CONSTRAINT project_line     CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);
ALTER TABLE client      ADD CONSTRAINT client_line      CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);
ALTER TABLE revocation  ADD CONSTRAINT revocation_line  CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);
ALTER TABLE audit       ADD CONSTRAINT audit_line       CHECK (octet_length(line) <= 1048576 AND strpos(line, E'\n') = 0);

-- The login of a row is that of the connection, whatever role it has taken since.
ALTER TABLE replica      ALTER COLUMN login SET DEFAULT session_user;
ALTER TABLE replica_lost ALTER COLUMN login SET DEFAULT session_user;
ALTER TABLE usage        ALTER COLUMN login SET DEFAULT session_user;
ALTER TABLE usage_batch  ALTER COLUMN login SET DEFAULT session_user;
ALTER POLICY replica_lost_own ON replica_lost USING (login = session_user) WITH CHECK (login = session_user);

-- What replicas write of themselves.
ALTER TABLE replica
    ADD CONSTRAINT replica_texts CHECK (octet_length(name) <= 255 AND octet_length(identity) <= 64 AND octet_length(epoch) <= 64 AND octet_length(lost_digest) <= 128),
    ADD CONSTRAINT replica_numbers CHECK (applied >= 0 AND held >= 0 AND lost >= 0);
ALTER TABLE replica_lost
    ADD CONSTRAINT replica_lost_texts CHECK (octet_length(kind) <= 64 AND octet_length(id) <= 1024),
    ADD CONSTRAINT replica_lost_what CHECK (what IN ('missing', 'older', 'ended'));
ALTER TABLE usage       ADD CONSTRAINT usage_texts CHECK (octet_length(key_id) <= 255 AND octet_length(replica) <= 255);
ALTER TABLE usage_batch ADD CONSTRAINT usage_batch_texts CHECK (octet_length(replica) <= 255 AND octet_length(batch) <= 255);

-- Writers lock the row of meta, and consoles that change their state this one. A role
-- that may lock a row is granted to update a column of it. Any login could take an
-- advisory lock, and keep it.
CREATE TABLE state_lock (one boolean PRIMARY KEY DEFAULT true CHECK (one));
INSERT INTO state_lock DEFAULT VALUES;

-- Functions name each table with its schema, and find all else in pg_catalog: others may
-- be allowed to create functions in a schema of the search_path.

-- Numbers: last_seq only grows, and not by more than a thousand million at once, but for
-- the owner of the tables, who repairs what was restored or spoilt.
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_check_last_seq() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF (NEW.last_seq < OLD.last_seq OR NEW.last_seq > OLD.last_seq + 1000000000) AND NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
                RAISE EXCEPTION 'the number of the last change grows, by at most a thousand million' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

CREATE TRIGGER meta_last_seq BEFORE UPDATE OF last_seq ON meta FOR EACH ROW EXECUTE FUNCTION keyward_check_last_seq();

-- A line is added behind all others. Whatever number a line or an entry has, it is not
-- beyond last_seq: no later one gets it again, and a replica that is at the last line
-- has not passed any.
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_follow_numbers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            first  bigint;
            last   bigint;
            count  bigint;
            before bigint;
        BEGIN
            SELECT min(seq), max(seq), count(*) INTO first, last, count FROM added;
            SELECT last_seq INTO before FROM %1$I.meta;
            IF last > before AND last - before > 1000000000 THEN
                RAISE EXCEPTION 'the number of the last change grows, by at most a thousand million' USING ERRCODE = 'check_violation';
            END IF;
            IF first < 1 OR TG_TABLE_NAME = 'journal' AND (first <= (SELECT cut_seq FROM %1$I.meta) OR count <> (SELECT count(*) FROM %1$I.journal WHERE seq >= first)) THEN
                RAISE EXCEPTION 'a line is added behind all others' USING ERRCODE = 'check_violation';
            END IF;
            UPDATE %1$I.meta SET last_seq = last WHERE last_seq < last;
            RETURN NULL;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION keyward_follow_numbers() FROM PUBLIC;
CREATE TRIGGER journal_numbers AFTER INSERT ON journal REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keyward_follow_numbers();
CREATE TRIGGER audit_numbers   AFTER INSERT ON audit   REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keyward_follow_numbers();

-- When a replica wrote a row is what the database says, unless its owner sets it.
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_written_now() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF NEW.at = OLD.at THEN
                NEW.at := clock_timestamp();
            END IF;
            RETURN NEW;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

CREATE TRIGGER replica_at     BEFORE UPDATE ON replica     FOR EACH ROW EXECUTE FUNCTION keyward_written_now();
CREATE TRIGGER usage_at       BEFORE UPDATE ON usage       FOR EACH ROW EXECUTE FUNCTION keyward_written_now();
CREATE TRIGGER usage_batch_at BEFORE UPDATE ON usage_batch FOR EACH ROW EXECUTE FUNCTION keyward_written_now();

-- A login that may delete from a table may also lock it: a replica removes its list of
-- what the database lacks by this function.
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_forget_lost(name text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
            DELETE FROM %1$I.replica_lost WHERE login = session_user AND replica = name
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION keyward_forget_lost(text) FROM PUBLIC;

-- A login has at most 10,000 replicas, and each a list of at most 1,000 records.
-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_count_replicas() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF EXISTS (SELECT FROM (SELECT DISTINCT login FROM added) AS a WHERE (SELECT count(*) FROM %1$I.replica AS r WHERE r.login = a.login) > 10000) THEN
                RAISE EXCEPTION 'the login has more than 10,000 replicas' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION keyward_count_replicas() FROM PUBLIC;
CREATE TRIGGER replica_count AFTER INSERT ON replica REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keyward_count_replicas();

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION keyward_count_lost() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF EXISTS (SELECT FROM (SELECT DISTINCT login, replica FROM added) AS a
                WHERE (SELECT count(*) FROM %1$I.replica_lost AS l WHERE l.login = a.login AND l.replica = a.replica) > 1000) THEN
                RAISE EXCEPTION 'the replica has a list of more than 1,000 records' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION keyward_count_lost() FROM PUBLIC;
CREATE TRIGGER replica_lost_count AFTER INSERT ON replica_lost REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keyward_count_lost();

-- The functions of upkeep, which now name the schema of each table, lock the row that
-- writers lock, and leave out what a login keeps locked.

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION keyward_oldest_kept(keep interval) RETURNS timestamptz LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            oldest timestamptz := now() - keep;
        BEGIN
            IF oldest IS NULL OR oldest > now() - interval '24 hours' THEN
                RAISE EXCEPTION 'nothing is removed before it is a day old' USING ERRCODE = 'invalid_parameter_value';
            END IF;
            RETURN oldest;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION keyward_cut_journal(keep interval) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            oldest timestamptz := %1$I.keyward_oldest_kept(keep);
            cut    bigint;
            cuts   bigint;
        BEGIN
            PERFORM FROM %1$I.meta FOR UPDATE;
            WITH lines AS (
                SELECT seq, lead(at) OVER (ORDER BY seq) AS next_at
                FROM (SELECT seq, at FROM %1$I.journal ORDER BY seq LIMIT 10001) AS first
            )
            SELECT max(seq) INTO cut FROM lines
            WHERE seq < (SELECT min(seq) FROM lines WHERE next_at IS NULL OR next_at >= oldest);
            IF cut IS NULL THEN
                RETURN 0;
            END IF;
            DELETE FROM %1$I.journal WHERE seq <= cut;
            GET DIAGNOSTICS cuts = ROW_COUNT;
            UPDATE %1$I.meta SET cut_seq = greatest(cut_seq, cut);
            RETURN cuts;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION keyward_cut_audit(keep interval) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            oldest timestamptz := %1$I.keyward_oldest_kept(keep);
            cuts   bigint;
        BEGIN
            DELETE FROM %1$I.audit WHERE seq IN (SELECT seq FROM %1$I.audit WHERE time < oldest AND open_since IS NULL ORDER BY time LIMIT 10000);
            GET DIAGNOSTICS cuts = ROW_COUNT;
            RETURN cuts;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION keyward_cut_revocations() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            cuts bigint;
        BEGIN
            DELETE FROM %1$I.revocation WHERE number IN (SELECT number FROM %1$I.revocation WHERE ends < now() - interval '24 hours' ORDER BY ends LIMIT 10000);
            GET DIAGNOSTICS cuts = ROW_COUNT;
            RETURN cuts;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $do$
BEGIN
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION keyward_cut_replicas(keep interval) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            oldest timestamptz := %1$I.keyward_oldest_kept(keep);
            cuts   bigint;
        BEGIN
            DELETE FROM %1$I.replica WHERE (login, name) IN (SELECT login, name FROM %1$I.replica WHERE at < oldest ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS cuts = ROW_COUNT;
            RETURN cuts;
        END
        $$
    $sql$, current_schema());
END
$do$;
-- +goose StatementEnd

ALTER FUNCTION keyward_refuse_closed() SET search_path = pg_catalog, pg_temp;
