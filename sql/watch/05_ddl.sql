-- Telling a listener of DDL at once. Without this, it looks every two seconds. Event triggers need a superuser, or what a
-- managed service has in place of one; where they are not allowed, nothing here fails.

CREATE OR REPLACE FUNCTION superset_ext_watch.concerns(relation oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- By its name, which may be new; by our trigger, where it has just lost its name; by the whole that it is a part of.
    SELECT EXISTS (
        SELECT FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN superset_ext_watch.watched w ON w.schema_name = n.nspname AND w.table_name = c.relname
        WHERE c.oid = relation
    ) OR EXISTS (
        -- An array, so that PostgreSQL looks up these relations by their index, and does not read all triggers.
        SELECT FROM pg_trigger g
        WHERE g.tgrelid = ANY (ARRAY(
                SELECT relation UNION ALL SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = relation
            ))
            AND g.tgname LIKE 'superset\_ext\_watch\_%'
    )
$$;

COMMENT ON FUNCTION superset_ext_watch.concerns(oid) IS 'Whether a relation has the name of a watched table, a trigger of ours, or a parent with one.';

-- It runs as its owner, so that whoever makes DDL needs no rights here, and catches every error: no DDL may fail because of
-- us. PostgreSQL sends equal notifications of one transaction once.
CREATE OR REPLACE FUNCTION superset_ext_watch.ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found boolean;
BEGIN
    IF tg_event = 'sql_drop' THEN
        found := EXISTS (
            SELECT FROM pg_event_trigger_dropped_objects() o
            -- LIMIT keeps this a look-up by its index for each object; PostgreSQL expects thousands of them.
            LEFT JOIN LATERAL (
                SELECT w.id FROM superset_ext_watch.watched w
                WHERE o.object_type = 'table' AND w.schema_name = o.schema_name AND w.table_name = o.object_name
                LIMIT 1
            ) AS watch ON true
            WHERE NOT o.is_temporary AND (
                watch.id IS NOT NULL
                OR o.object_type = 'trigger' AND o.object_identity LIKE 'superset\_ext\_watch\_%'
            )
        );
    ELSE
        found := EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() c
            WHERE c.classid = 'pg_namespace'::regclass
                OR c.classid = 'pg_class'::regclass AND superset_ext_watch.concerns(c.objid)
        );
    END IF;
    IF found AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('superset_ext_watch', '"list"');
    END IF;
EXCEPTION WHEN OTHERS THEN
    NULL;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.ddl() IS 'Notifies listeners of DDL that concerns a watched table, so that they look at once.';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'superset_ext_watch_ddl') THEN
        CREATE EVENT TRIGGER superset_ext_watch_ddl ON ddl_command_end
            WHEN TAG IN ('ALTER SCHEMA', 'ALTER TABLE', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
            EXECUTE FUNCTION superset_ext_watch.ddl();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = 'superset_ext_watch_drop') THEN
        CREATE EVENT TRIGGER superset_ext_watch_drop ON sql_drop EXECUTE FUNCTION superset_ext_watch.ddl();
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
