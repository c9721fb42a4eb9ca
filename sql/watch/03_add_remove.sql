-- Adding triggers to a table and its members, and removing them.

-- The sequence of a watch holds its epoch. Even: the first commit of each session in this epoch notifies. Odd: a listener
-- has heard of a change and stamps the table all the time; no commit notifies. The argument why no commit is missed is in
-- superset_ext/freshness/watch/epochs.py.

CREATE OR REPLACE FUNCTION superset_ext_watch.body(watch superset_ext_watch.watched) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The trigger runs as its owner, so that a writer needs no rights here. It catches every error, because a writer must
    -- not fail because of us; the listener warns if the sequence is gone. With a full queue the writer's commit would
    -- fail, where nobody can catch the error.
    SELECT format($body$
DECLARE
    epoch bigint;
BEGIN
    epoch := pg_sequence_last_value('superset_ext_watch.epoch_%1$s');
    IF epoch %% 2 = 0 AND current_setting('superset_ext.watch_%1$s', true) IS DISTINCT FROM epoch::text
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM set_config('superset_ext.watch_%1$s', epoch::text, false),
            pg_notify('superset_ext_watch', '[%1$s, ' || epoch || %2$L);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$body$, (watch).id, format(', %s, %s]', to_json((watch).schema_name), to_json((watch).table_name)))
$$;

CREATE OR REPLACE FUNCTION superset_ext_watch.make_function(watch superset_ext_watch.watched) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass(format('superset_ext_watch.epoch_%s', watch.id)) IS NULL THEN
        EXECUTE format('CREATE SEQUENCE superset_ext_watch.epoch_%s', watch.id);
        -- A writer reads the sequence in the trigger's condition, and may do no more than that.
        EXECUTE format('GRANT SELECT ON SEQUENCE superset_ext_watch.epoch_%s TO PUBLIC', watch.id);
    END IF;
    -- Odd, because nobody listens yet. It begins with the time, because a session that lives on may remember an epoch of
    -- an earlier sequence of this name, from before everything was removed and added again.
    IF pg_sequence_last_value(format('superset_ext_watch.epoch_%s', watch.id)::regclass) IS NULL THEN
        PERFORM setval(format('superset_ext_watch.epoch_%s', watch.id)::regclass,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint | 1);
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION superset_ext_watch.changed_%s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER'
        ' SET search_path = pg_catalog, pg_temp AS %L',
        watch.id, superset_ext_watch.body(watch)
    );
END
$$;

-- Almost all writes meet an odd epoch. The trigger's condition sees that without a call of its function, which costs three
-- times as much while 48 sessions commit single rows. A writer that may not read the sequence gets NULL, and calls the
-- function. Before PostgreSQL 18 that writer would get an error, so there the right is checked first.
CREATE OR REPLACE FUNCTION superset_ext_watch.condition(watch_id integer) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(
        CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN '%1$s'
            ELSE 'CASE WHEN has_sequence_privilege(%2$s, ''SELECT'') THEN %1$s ELSE true END' END,
        format('mod(pg_sequence_last_value(%s), ''2''::bigint) IS DISTINCT FROM ''1''::bigint', epoch), epoch
    )
    FROM format('''superset_ext_watch.epoch_%s''::regclass', watch_id) AS epoch
$$;

CREATE OR REPLACE FUNCTION superset_ext_watch.attach(watch_id integer, member oid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trigger_name text := format('superset_ext_watch_%s', watch_id);
    enabled "char" := (SELECT tgenabled FROM pg_trigger WHERE tgrelid = member AND tgname = trigger_name);
BEGIN
    IF enabled IS NULL THEN
        EXECUTE format(
            'CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s'
            ' FOR EACH STATEMENT WHEN (%s) EXECUTE FUNCTION superset_ext_watch.changed_%s()',
            trigger_name, member::regclass, superset_ext_watch.condition(watch_id), watch_id
        );
    END IF;
    -- So that it fires with session_replication_role = replica too, which some loaders set. Only an owner may do this.
    IF enabled IS DISTINCT FROM 'A'
        AND (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = member)
    THEN
        EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', member::regclass, trigger_name);
    ELSIF enabled IN ('D', 'R') THEN
        RAISE EXCEPTION 'the trigger of % is disabled; let its owner run: ALTER TABLE % ENABLE TRIGGER %',
            member::regclass, member::regclass, trigger_name USING ERRCODE = 'SXW01';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext_watch.add(
    relation regclass, two_phase_unused boolean DEFAULT false, patience interval DEFAULT '3 seconds'
) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    watch superset_ext_watch.watched;
    problem text;
BEGIN
    PERFORM superset_ext_watch.lock(patience);
    problem := coalesce(
        superset_ext_watch.refusal(relation, two_phase_unused),
        -- Who may not write down what is watched needs somebody else for all of it; the INSERT below says so.
        CASE WHEN pg_catalog.has_table_privilege('superset_ext_watch.watched', 'INSERT')
            THEN 'its triggers may not be made; let an owner run: ' || superset_ext_watch.lacking(relation) END
    );
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'SXW01';
    END IF;
    INSERT INTO superset_ext_watch.watched (schema_name, table_name)
        SELECT n.nspname, c.relname
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
        ON CONFLICT DO NOTHING;
    SELECT w.* INTO STRICT watch
        FROM superset_ext_watch.watched w
        JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema_name
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name
        WHERE c.oid = relation;
    PERFORM superset_ext_watch.make_function(watch);
    PERFORM superset_ext_watch.attach(watch.id, m.id) FROM superset_ext_watch.members(relation) AS m (id);
    PERFORM pg_catalog.pg_notify('superset_ext_watch', '"list"');
    RETURN watch.id;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.add(regclass, boolean, interval) IS 'Watches a table with all of its members, or none of them and raises an error with the reason. It waits at most `patience` for the lock of each member, and writers wait behind it meanwhile.';

CREATE OR REPLACE FUNCTION superset_ext_watch.remove(
    schema_ text, table_ text, patience interval DEFAULT '3 seconds'
) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    gone integer;
BEGIN
    PERFORM superset_ext_watch.lock(patience);
    DELETE FROM superset_ext_watch.watched WHERE schema_name = schema_ AND table_name = table_ RETURNING id INTO gone;
    IF gone IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_catalog.set_config('client_min_messages', 'warning', true);
    -- Dropping the function drops its triggers, wherever they are by now. That needs no right on those tables.
    EXECUTE format('DROP FUNCTION IF EXISTS superset_ext_watch.changed_%s() CASCADE', gone);
    EXECUTE format('DROP SEQUENCE IF EXISTS superset_ext_watch.epoch_%s', gone);
    PERFORM pg_catalog.pg_notify('superset_ext_watch', '"list"');
    RETURN true;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.remove(text, text, interval) IS 'Removes the watch of a table, which need not exist any more; false if there is no watch.';
