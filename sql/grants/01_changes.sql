-- Grants: what tells whether anything has changed that decides a right or an answer, since an answer was given.
--
-- The package runs this file on Superset's metadata database. Each statement that writes a watched table appends its
-- transaction's id to superset_ext_grants.change: a row of its own, for which no other writer waits. A grant keeps the
-- snapshot that was taken before Superset read anything for it. It holds while no row's transaction is invisible in
-- that snapshot. Where Superset's role may not create triggers, an administrator does:
--   psql --single-transaction --set ON_ERROR_STOP=1 --file sql/grants/01_changes.sql "$METADATA"
--   SELECT superset_ext_grants.watch(ARRAY['public.ab_user', 'public.ab_user_role', …]::regclass[]);
-- uninstall.sql removes everything again.

DO $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('superset_ext_grants', 0)); END $$;

CREATE SCHEMA IF NOT EXISTS superset_ext_grants;
COMMENT ON SCHEMA superset_ext_grants IS 'superset_ext: what rights and answers depend on, version 10';
GRANT USAGE ON SCHEMA superset_ext_grants TO PUBLIC;

CREATE TABLE IF NOT EXISTS superset_ext_grants.change (
    xid xid8 NOT NULL,
    dashboard integer
);
ALTER TABLE superset_ext_grants.change ADD COLUMN IF NOT EXISTS dashboard integer;
CREATE INDEX IF NOT EXISTS change_xid ON superset_ext_grants.change (xid);
COMMENT ON TABLE superset_ext_grants.change IS 'A row for each statement that wrote a watched table.';
COMMENT ON COLUMN superset_ext_grants.change.xid IS 'The transaction of the statement; a row can be seen once that has been committed.';
COMMENT ON COLUMN superset_ext_grants.change.dashboard IS 'The dashboard of which only contents were written, less than 0 where these were only the colors of its labels; NULL for everything else.';

CREATE TABLE IF NOT EXISTS superset_ext_grants.horizon (
    at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    oldest xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot())
);
COMMENT ON TABLE superset_ext_grants.horizon IS 'When which transactions had ended; what is older than every grant is deleted by it.';
COMMENT ON COLUMN superset_ext_grants.horizon.at IS 'When.';
COMMENT ON COLUMN superset_ext_grants.horizon.oldest IS 'Every transaction before this one had ended by then.';

-- A crash of the server empties an unlogged table. What had not reached the disk by then has never been, and its
-- transaction's id is given to another one: nothing that was granted before may hold afterwards.
CREATE UNLOGGED TABLE IF NOT EXISTS superset_ext_grants.run (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
GRANT SELECT ON superset_ext_grants.run TO PUBLIC;
COMMENT ON TABLE superset_ext_grants.run IS 'One row, which a crash of the server removes.';
COMMENT ON COLUMN superset_ext_grants.run.one IS 'There is one row.';
COMMENT ON COLUMN superset_ext_grants.run.id IS 'Drawn anew after a crash.';

CREATE OR REPLACE FUNCTION superset_ext_grants.begin_run() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ INSERT INTO superset_ext_grants.run DEFAULT VALUES ON CONFLICT DO NOTHING $$;
COMMENT ON FUNCTION superset_ext_grants.begin_run() IS 'Draws an id where a crash has removed it.';

-- The function of most triggers. It runs as its owner, since whoever writes a table need not know of ours. Where somebody
-- has removed our table, the write succeeds all the same: nothing is granted without the table, and what was granted
-- before ends with it, since the anchor names it.
CREATE OR REPLACE FUNCTION superset_ext_grants.changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('superset_ext_grants.change') IS NOT NULL THEN
        INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.changed() IS 'Notes that a watched table was written.';

-- The function of updates of ab_user. A log-in writes there too; what it writes decides nothing.
CREATE OR REPLACE FUNCTION superset_ext_grants.user_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    idle text[] := ARRAY['last_login', 'login_count', 'fail_login_count', 'changed_on', 'changed_by_fk'];
BEGIN
    IF EXISTS (SELECT to_jsonb(b) - idle FROM before b EXCEPT ALL SELECT to_jsonb(a) - idle FROM after a)
        AND to_regclass('superset_ext_grants.change') IS NOT NULL
    THEN
        INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.user_changed() IS 'Notes that a user was changed, other than by a log-in.';

-- The metadata of a dashboard without what a browser writes there when an owner opens it, and who has written when; text
-- that is no object of JSON as it is.
CREATE OR REPLACE FUNCTION superset_ext_grants.colorless(dashboard jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    colors text[] := ARRAY['color_scheme', 'color_scheme_domain', 'label_colors', 'map_label_colors', 'shared_label_colors'];
    others jsonb := dashboard - ARRAY['changed_on', 'changed_by_fk', 'json_metadata'];
BEGIN
    RETURN others || jsonb_build_object('json_metadata', (dashboard ->> 'json_metadata')::jsonb - colors);
EXCEPTION WHEN OTHERS THEN  -- whatever it is, what a person writes must not fail by it
    RETURN others || jsonb_build_object('json_metadata', dashboard ->> 'json_metadata');
END
$$;
COMMENT ON FUNCTION superset_ext_grants.colorless(jsonb) IS 'A row of dashboards without the colors of labels.';

-- The function of updates of dashboards. A browser in which an owner opens a dashboard writes the colors of its labels
-- there each time; no answer of a chart has them. What is written to `contents` concerns only who has read that very
-- row: no statement of Superset's looks for rows by it, and one that did would make a grant depend on all of them
-- (`host/dashboard_reads.py`). Earlier versions had another function, which did not tell of colors.
CREATE OR REPLACE FUNCTION superset_ext_grants.dashboard_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    contents text[] := ARRAY['json_metadata', 'position_json', 'css', 'changed_on', 'changed_by_fk'];
BEGIN
    IF to_regclass('superset_ext_grants.change') IS NOT NULL THEN
        INSERT INTO superset_ext_grants.change (xid, dashboard)
        SELECT DISTINCT pg_current_xact_id(), CASE
            WHEN to_jsonb(b) - contents IS DISTINCT FROM to_jsonb(a) - contents THEN NULL
            WHEN superset_ext_grants.colorless(to_jsonb(b)) = superset_ext_grants.colorless(to_jsonb(a)) THEN -a.id
            ELSE a.id
        END
        FROM before b FULL JOIN after a ON a.id = b.id
        WHERE to_jsonb(b) IS DISTINCT FROM to_jsonb(a);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.dashboard_written() IS 'Notes that dashboards were changed: which ones, where only their contents or their colors were.';

-- Which of these tables do not tell of every write: a trigger is missing or does not always fire, or rows can be written
-- or hidden past it (partitions, children, policies, subscriptions of logical replication, which fire no trigger of a
-- statement). What is not an ordinary table does not tell either.
CREATE OR REPLACE FUNCTION superset_ext_grants.untold(tables regclass[]) RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass FROM pg_class c
    WHERE c.oid = ANY (tables) AND NOT (
        c.relkind = 'r' AND NOT c.relhassubclass AND NOT c.relispartition AND NOT c.relrowsecurity
        AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = c.oid)
        AND 1 + (c.relname IN ('ab_user', 'dashboards'))::integer = (
            SELECT count(*) FROM pg_trigger t
            WHERE t.tgrelid = c.oid AND t.tgenabled = 'A' AND (
                t.tgname = 'superset_ext_grants' AND t.tgfoid = 'superset_ext_grants.changed'::regproc
                OR t.tgname = 'superset_ext_grants_update' AND t.tgfoid = CASE c.relname
                    WHEN 'ab_user' THEN 'superset_ext_grants.user_changed'::regproc
                    WHEN 'dashboards' THEN 'superset_ext_grants.dashboard_written'::regproc
                END
            )
        )
    )
    ORDER BY c.relname
$$;
COMMENT ON FUNCTION superset_ext_grants.untold(regclass[]) IS 'Tables of these that may be written without a row of change.';

-- Sees to it that tables have their triggers. What is made now was not there before, so whatever was granted until now
-- ends. A table that cannot tell of every write is left as it is, and remains among the untold.
CREATE OR REPLACE FUNCTION superset_ext_grants.watch(tables regclass[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext_grants', 0));
    FOR t IN
        SELECT u.name, CASE c.relname WHEN 'ab_user' THEN 'user_changed' WHEN 'dashboards' THEN 'dashboard_written' END AS updated
        FROM superset_ext_grants.untold(tables) AS u(name) JOIN pg_class c ON c.oid = u.name
        WHERE c.relkind = 'r'
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS superset_ext_grants ON %s', t.name);
        EXECUTE format('DROP TRIGGER IF EXISTS superset_ext_grants_update ON %s', t.name);
        IF t.updated IS NOT NULL THEN
            EXECUTE format('CREATE TRIGGER superset_ext_grants AFTER INSERT OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.changed()', t.name);
            EXECUTE format('CREATE TRIGGER superset_ext_grants_update AFTER UPDATE ON %s '
                'REFERENCING OLD TABLE AS before NEW TABLE AS after '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.%I()', t.name, t.updated);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER superset_ext_grants_update', t.name);
        ELSE
            EXECUTE format('CREATE TRIGGER superset_ext_grants AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.changed()', t.name);
        END IF;
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER superset_ext_grants', t.name);
        INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    END LOOP;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.watch(regclass[]) IS 'Makes the triggers of tables that lack them.';

-- The run of this server, the triggers, their tables and ours, as text: what was granted under another text does not
-- hold. Our table lies in another file when it was made anew or emptied by TRUNCATE. A
-- trigger that was switched off and on again has another xmin; a table whose rows were written anew past its triggers,
-- as ALTER TABLE does, lies in another file; a server that was promoted has another start. NULL at a replica, and where a
-- subscription writes to one of the tables.
CREATE OR REPLACE FUNCTION superset_ext_grants.anchor() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digest numeric;
BEGIN
    IF pg_is_in_recovery() OR EXISTS (SELECT FROM pg_subscription_rel) AND EXISTS (  -- mostly there is none
        SELECT FROM pg_subscription_rel r JOIN pg_trigger t ON t.tgrelid = r.srrelid
        WHERE t.tgname = 'superset_ext_grants'
    ) THEN
        RETURN NULL;
    END IF;
    SELECT sum(hashtextextended(concat_ws(' ', t.oid, t.xmin, c.oid, c.relname, c.relnamespace, c.relfilenode,
        c.relkind, c.relhassubclass, c.relrowsecurity, c.relacl), 0)) INTO digest
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgfoid IN ('superset_ext_grants.changed'::regproc, 'superset_ext_grants.user_changed'::regproc,
        'superset_ext_grants.dashboard_written'::regproc)
      AND t.tgenabled = 'A';
    RETURN digest || ' ' || extract(epoch FROM pg_postmaster_start_time()) || ' '
        || (SELECT id FROM superset_ext_grants.run) || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database())
        || ' ' || (SELECT concat_ws('.', oid, relfilenode) FROM pg_class WHERE oid = 'superset_ext_grants.change'::regclass);
END
$$;
COMMENT ON FUNCTION superset_ext_grants.anchor() IS 'What names the triggers and this run of the server; NULL where nothing can be known.';

-- Whether what was granted under a snapshot and an anchor still holds, which has read the contents of these dashboards,
-- and the colors of those whose number is less than 0; NULL for any.
CREATE OR REPLACE FUNCTION superset_ext_grants.holds(since pg_snapshot, under text, dashboards integer[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN under = superset_ext_grants.anchor() AND NOT EXISTS (
        SELECT FROM superset_ext_grants.change
        WHERE xid >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(xid, since)
          AND (dashboard IS NULL OR dashboards IS NULL OR dashboard = ANY (dashboards))
    );
END
$$;
COMMENT ON FUNCTION superset_ext_grants.holds(pg_snapshot, text, integer[]) IS 'Whether nothing that matters was written by what that snapshot does not see.';

-- As `holds`, for whoever remembers when it held last: what names this moment, or NULL. With `last`, the name of an
-- earlier moment, it is asked instead whether everything that held then holds still: NULL says that it may not, and then
-- each is asked about by itself. Where the name is the one of then, nothing is looked at: a snapshot that sees the same
-- transactions, in the same run of the same server, sees the same rows of the same database. A copy of it on that server
-- has the id of the run too, and a pooler may lead there by the same address. It has a name of its own, since an
-- earlier version's `held` says of one grant what this says of all.
CREATE OR REPLACE FUNCTION superset_ext_grants.held_still(since pg_snapshot, under text, dashboards integer[], last text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE  -- web processes make the same name by a statement of theirs
    run text := ' ' || extract(epoch FROM pg_postmaster_start_time()) || ' ' || (SELECT id FROM superset_ext_grants.run)
        || ' ' || current_database();
    moment text := pg_current_snapshot() || run;
    earlier text := split_part(last, ' ', 1);
    holds boolean;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    IF last IS NULL THEN
        holds := superset_ext_grants.holds(since, under, dashboards);
    ELSE
        holds := moment = last OR (last = earlier || run AND superset_ext_grants.holds(earlier::pg_snapshot, under, NULL));
    END IF;
    RETURN CASE WHEN holds THEN moment END;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.held_still(pg_snapshot, text, integer[], text) IS 'What names this moment, if nothing that matters was written that a snapshot, or an earlier moment, does not see.';

-- Deletes the rows that no grant needs: a grant lives for an hour at most, and a transaction that had ended two hours
-- ago is visible in the snapshot of every grant that may still be used. Sixty rows of the horizon, which are a minute
-- apart, have to follow as well: a clock that is put forward makes none.
CREATE OR REPLACE FUNCTION superset_ext_grants.tidy() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended xid8;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('superset_ext_grants.tidy', 0)) THEN
        RETURN;
    END IF;
    -- Not max(), which xid8 has not before PostgreSQL 15.
    SELECT oldest INTO ended FROM superset_ext_grants.horizon WHERE at < clock_timestamp() - interval '2 hours'
    ORDER BY oldest DESC OFFSET 60 LIMIT 1;
    DELETE FROM superset_ext_grants.change WHERE xid < ended;
    DELETE FROM superset_ext_grants.horizon WHERE oldest < ended;
    INSERT INTO superset_ext_grants.horizon (at) SELECT clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM superset_ext_grants.horizon WHERE at > clock_timestamp() - interval '1 minute');
END
$$;
COMMENT ON FUNCTION superset_ext_grants.tidy() IS 'Deletes what is older than every grant.';

-- What earlier versions had under other arguments.
DROP FUNCTION IF EXISTS superset_ext_grants.watch(text[], text), superset_ext_grants.tidy(interval),
    superset_ext_grants.holds(pg_snapshot, text), superset_ext_grants.held(pg_snapshot, text, integer[], text);
