-- Refreshing the materialized views of sql/views, one at a time, each in one transaction.
--
-- A view over many days is made of two, `_past` with the days before yesterday and `_recent` with the others. The past
-- is computed anew only when it is another: a day has gone by, a row came very late, or something has another name. So
-- the cost of a refresh follows what is new.

CREATE OR REPLACE FUNCTION superset_ext.object_label(id integer, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN id = 0 THEN '–' ELSE coalesce(nullif(name, ''), '#' || id) END $$;

COMMENT ON FUNCTION superset_ext.object_label(integer, text) IS 'What the views call an object: its name, #12 where that is not known, – for none.';

CREATE OR REPLACE FUNCTION superset_ext.past_version() RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT concat_ws(
        ' ', superset_ext.utc_today(),
        (
            SELECT string_agg(coalesce(extract(epoch FROM past_at)::text, '-'), ' ' ORDER BY name)
            FROM superset_ext.rollup_state
        ),
        (SELECT md5(string_agg(kind || id || ':' || name, ' ' ORDER BY kind, id)) FROM superset_ext.object_name)
    )
$$;

COMMENT ON FUNCTION superset_ext.past_version() IS 'What the days before yesterday are computed from; another value, and they are to be computed anew.';

CREATE OR REPLACE FUNCTION superset_ext.refresh_part(part text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    populated boolean;
BEGIN
    SELECT ispopulated INTO populated FROM pg_catalog.pg_matviews
    WHERE schemaname = 'superset_ext' AND matviewname = part;
    -- One that a dump has restored without its rows cannot be refreshed concurrently; nobody can read it either.
    EXECUTE format(
        'REFRESH MATERIALIZED VIEW %s superset_ext.%I', CASE WHEN populated THEN 'CONCURRENTLY' ELSE '' END, part
    );
END
$$;

COMMENT ON FUNCTION superset_ext.refresh_part(text) IS 'Refreshes one materialized view; who reads it goes on reading.';

CREATE OR REPLACE FUNCTION superset_ext.refresh_view(name text) RETURNS superset_ext.view_refresh
LANGUAGE plpgsql
SET jit = off
AS $$
DECLARE
    started timestamptz;
    version text;
    there bigint;
    done superset_ext.view_refresh;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext.refresh.' || name, 0));
    started := clock_timestamp();
    -- Read before the views are: what comes between is seen as another version the next time.
    version := superset_ext.past_version();
    -- A lock that somebody keeps on a table must not keep the other views waiting.
    PERFORM set_config('lock_timeout', '5s', true);
    IF to_regclass(format('superset_ext.%I', name || '_recent')) IS NULL THEN
        PERFORM superset_ext.refresh_part(name);
    ELSE
        PERFORM superset_ext.refresh_part(name || '_recent');
        IF NOT EXISTS (SELECT FROM superset_ext.view_refresh WHERE view = name AND past = version) THEN
            PERFORM superset_ext.refresh_part(name || '_past');
        END IF;
    END IF;
    EXECUTE format('SELECT count(*) FROM superset_ext.%I', name) INTO there;
    INSERT INTO superset_ext.view_refresh AS known (view, refreshed_at, seconds, rows, past)
    VALUES (name, now(), extract(epoch FROM clock_timestamp() - started), there, version)
    ON CONFLICT (view) DO UPDATE SET
        refreshed_at = excluded.refreshed_at, seconds = excluded.seconds, rows = excluded.rows, past = excluded.past,
        error = NULL, failed_since = NULL
    RETURNING * INTO done;
    RETURN done;
END
$$;

COMMENT ON FUNCTION superset_ext.refresh_view(text) IS 'Refreshes a view of sql/views and notes it in view_refresh, all of it or nothing.';
