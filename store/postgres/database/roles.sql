-- The roles of a database of Keyward. An administrator runs this once, connected to the
-- database, as the owner of its tables and after `keyward store migrate`, and again after
-- each migration. Each Keyward logs in as a role of its own that is a member of one of
-- them: GRANT keyward_replica TO sidecar_1.


SET client_min_messages = warning;

BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_writer') THEN
        CREATE ROLE keyward_writer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_replica') THEN
        CREATE ROLE keyward_replica NOLOGIN;
    END IF;
END
$$;

-- A role has what follows and nothing else, whatever an earlier version granted.
REVOKE ALL ON meta, state_lock, journal, key_record, key_secret, user_record, project, client, revocation, audit, snapshot, replica, replica_lost,
    usage, usage_batch, state_session, state_code, state_idempotency, state_entry, state_grant, state_refresh, state_auth_code,
    state_consent, state_issuer_session, signing_set, signing_key FROM keyward_writer, keyward_replica;

-- Consoles, issuers and commands. None of them rewrites the journal or removes a record,
-- or says when a line was written.
GRANT SELECT ON meta, journal, key_record, key_secret, user_record, project, client, revocation, audit, snapshot, replica TO keyward_writer;
GRANT UPDATE (last_seq) ON meta TO keyward_writer;
GRANT SELECT, UPDATE (one) ON state_lock TO keyward_writer;
GRANT INSERT (seq, epoch, kind, line) ON journal TO keyward_writer;
GRANT INSERT ON key_secret, revocation TO keyward_writer;
GRANT INSERT ON key_record, user_record, project, client TO keyward_writer;
GRANT UPDATE (made_seconds, made_nanos, deleted, seq, line, user_name, project) ON key_record TO keyward_writer;
GRANT UPDATE (made_seconds, made_nanos, deleted, seq, line, ended) ON user_record TO keyward_writer;
GRANT UPDATE (made_seconds, made_nanos, deleted, seq, line) ON project, client TO keyward_writer;
GRANT INSERT ON audit TO keyward_writer;
GRANT UPDATE (outcome, line, open_since) ON audit TO keyward_writer;

-- Keywards that check requests: they copy the records, and read nothing else.
GRANT SELECT ON meta, journal, snapshot TO keyward_replica;
GRANT SELECT, INSERT (name, identity, epoch, applied, held, lost, lost_digest), UPDATE (identity, epoch, applied, held, lost, lost_digest) ON replica TO keyward_replica;

-- What replicas say of themselves. Each has a login, and those that only copy records see
-- and write the rows of their own login alone. Consoles copy records too, and see all
-- rows. The owner of the tables and superusers are bound by no policy: no Keyward logs in
-- as one of them.
GRANT INSERT (name, identity, epoch, applied, held, lost, lost_digest), UPDATE (identity, epoch, applied, held, lost, lost_digest) ON replica TO keyward_writer;
DROP POLICY IF EXISTS keyward_replica ON replica;
CREATE POLICY keyward_replica ON replica TO keyward_replica USING (login = session_user);
DROP POLICY IF EXISTS keyward_writer ON replica;
CREATE POLICY keyward_writer ON replica TO keyward_writer USING (true);

-- The use of keys. Rows of the replica '' are folded ones, which consoles write: with a
-- login's own rows, never with those of another.
GRANT SELECT ON usage, usage_batch TO keyward_replica;
GRANT INSERT (key_id, replica, totals, days, last), UPDATE (totals, days, last) ON usage TO keyward_replica;

GRANT INSERT (replica, batch), UPDATE (batch) ON usage_batch TO keyward_replica;

GRANT SELECT, INSERT, UPDATE, DELETE ON usage, usage_batch TO keyward_writer;
DROP POLICY IF EXISTS keyward_replica ON usage;
CREATE POLICY keyward_replica ON usage TO keyward_replica USING (login = session_user AND replica <> '');
DROP POLICY IF EXISTS keyward_writer ON usage;
CREATE POLICY keyward_writer ON usage TO keyward_writer USING (true);
DROP POLICY IF EXISTS keyward_replica ON usage_batch;
CREATE POLICY keyward_replica ON usage_batch TO keyward_replica USING (login = session_user AND replica <> '');
DROP POLICY IF EXISTS keyward_writer ON usage_batch;
CREATE POLICY keyward_writer ON usage_batch TO keyward_writer USING (true);

-- Sessions, one-time codes, idempotency keys, and what the issuer has granted, which
-- consoles and issuers keep.
GRANT SELECT, INSERT, UPDATE, DELETE ON state_session, state_code, state_idempotency, state_entry, state_grant, state_refresh,
    state_auth_code, state_consent, state_issuer_session TO keyward_writer;

-- The signing keys of the issuer, encrypted. Keywards that only check requests read none.
GRANT SELECT, INSERT (version), UPDATE (version) ON signing_set TO keyward_writer;
GRANT SELECT, INSERT (id, record, secret_id, sealed), UPDATE (record, secret_id, sealed), DELETE ON signing_key TO keyward_writer;

-- What replicas had seen and a restored database lacks. The policy of the table lets a
-- login see and write its own rows alone; writers see all, for `keyward store status`.
GRANT SELECT, INSERT (replica, kind, id, seq, what) ON replica_lost TO keyward_replica, keyward_writer;
GRANT EXECUTE ON FUNCTION keyward_forget_lost(text) TO keyward_replica, keyward_writer;
DROP POLICY IF EXISTS replica_lost_read ON replica_lost;
CREATE POLICY replica_lost_read ON replica_lost FOR SELECT TO keyward_writer USING (true);

-- What is old enough is removed by functions of the owner of the tables, which have bounds.
GRANT EXECUTE ON FUNCTION keyward_cut_journal(interval), keyward_cut_audit(interval), keyward_cut_revocations(), keyward_cut_replicas(interval) TO keyward_writer;

COMMIT;
