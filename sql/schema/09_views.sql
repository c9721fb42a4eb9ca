-- What the views of sql/views need: names of Superset's objects and what people are shown of them, the state of each view,
-- and functions that refresh one view in one transaction.
--
-- A view over many days is made of two: `_past` with the days before yesterday, and `_recent` with the others. The past
-- is computed again only when it changed: a day has gone by, a row came very late, or an object was renamed. So the cost
-- of a refresh follows what is new.

CREATE TABLE IF NOT EXISTS superset_ext.object_name (
    kind text NOT NULL CHECK (kind IN ('dashboard', 'chart', 'dataset', 'database')),
    id integer NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (kind, id)
);

COMMENT ON TABLE superset_ext.object_name IS 'Superset''s names of its objects, copied here at each refresh.';
COMMENT ON COLUMN superset_ext.object_name.kind IS 'dashboard, chart, dataset or database.';
COMMENT ON COLUMN superset_ext.object_name.id IS 'Superset''s id of it.';
COMMENT ON COLUMN superset_ext.object_name.name IS 'Its title or name.';

CREATE TABLE IF NOT EXISTS superset_ext.view_version (
    file text PRIMARY KEY,
    checksum text NOT NULL,
    materialized boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.view_version IS 'The files of sql/views, as they were when the views were last made.';
COMMENT ON COLUMN superset_ext.view_version.file IS 'Name of the file.';
COMMENT ON COLUMN superset_ext.view_version.checksum IS 'SHA-256 of its bytes, in hex; if it differs, superset perf upgrade makes the view again.';
COMMENT ON COLUMN superset_ext.view_version.materialized IS 'Whether it has to be refreshed.';
COMMENT ON COLUMN superset_ext.view_version.applied_at IS 'When it was made.';

CREATE TABLE IF NOT EXISTS superset_ext.view_refresh (
    view text PRIMARY KEY,
    refreshed_at timestamptz,
    seconds double precision,
    rows bigint,
    error text,
    failed_since timestamptz,
    past_version text
);

COMMENT ON TABLE superset_ext.view_refresh IS 'One row a view: how its last refresh went.';
COMMENT ON COLUMN superset_ext.view_refresh.view IS 'The view.';
COMMENT ON COLUMN superset_ext.view_refresh.refreshed_at IS 'When its last refresh that succeeded began: its numbers are as of then.';
COMMENT ON COLUMN superset_ext.view_refresh.seconds IS 'Seconds that this took.';
COMMENT ON COLUMN superset_ext.view_refresh.rows IS 'Rows that the view has.';
COMMENT ON COLUMN superset_ext.view_refresh.error IS 'Why the last refresh failed; NULL where it did not.';
COMMENT ON COLUMN superset_ext.view_refresh.failed_since IS 'Since when it fails; NULL where it does not.';
COMMENT ON COLUMN superset_ext.view_refresh.past_version IS 'past_version() when the days before yesterday were last computed, of a view that keeps them apart; NULL if they are to be computed again.';

CREATE OR REPLACE FUNCTION superset_ext.object_label(kind text, id integer, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN id IS NULL THEN NULL
        WHEN id <> 0 THEN coalesce(nullif(name, ''), '#' || id)
        WHEN kind = 'chart' THEN 'no chart (filter or API)'
        WHEN kind = 'dashboard' THEN 'no dashboard (Explore or API)'
        ELSE 'no ' || kind
    END
$$;

COMMENT ON FUNCTION superset_ext.object_label(text, integer, text) IS 'The name of an object in the views: its own, #12 where that is not known, and "no dashboard" and the like where there is none.';

CREATE OR REPLACE FUNCTION superset_ext.view_label(view text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE view
        WHEN 'rollups' THEN 'Hourly and daily sums'
        WHEN 'names' THEN 'Names of charts and dashboards'
        WHEN 'recommendations' THEN 'Recommendations'
        WHEN 'perf_cache_hour' THEN 'Caches by hour'
        WHEN 'perf_cache_day' THEN 'Caches by day'
        WHEN 'perf_miss_reason' THEN 'Reasons of misses'
        WHEN 'perf_memory' THEN 'Memory and evictions'
        WHEN 'perf_dashboard' THEN 'Dashboards'
        WHEN 'perf_chart' THEN 'Charts'
        WHEN 'perf_dataset' THEN 'Datasets'
        WHEN 'perf_query_hour' THEN 'Queries by hour'
        WHEN 'perf_slow_query' THEN 'Slowest queries'
        WHEN 'perf_warming' THEN 'Warming'
        WHEN 'perf_invalidation' THEN 'Changes'
        WHEN 'perf_alert' THEN 'Alerts'
        ELSE view
    END
$$;

COMMENT ON FUNCTION superset_ext.view_label(text) IS 'What people call the numbers of a view, or of what views stand on.';

CREATE OR REPLACE FUNCTION superset_ext.past_version() RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT concat_ws(
        ' ', superset_ext.utc_today(),
        (
            SELECT string_agg(coalesce(extract(epoch FROM past_changed_at)::text, '-'), ' ' ORDER BY log)
            FROM superset_ext.rollup_state
        ),
        (SELECT md5(string_agg(kind || id || ':' || name, ' ' ORDER BY kind, id)) FROM superset_ext.object_name)
    )
$$;

COMMENT ON FUNCTION superset_ext.past_version() IS 'A value that changes when the days before yesterday have to be computed again.';

CREATE OR REPLACE FUNCTION superset_ext.refresh_part(part text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    populated boolean;
BEGIN
    SELECT ispopulated INTO populated FROM pg_catalog.pg_matviews
    WHERE schemaname = 'superset_ext' AND matviewname = part;
    -- A view that a dump has restored without its rows cannot be refreshed concurrently, and cannot be read either.
    EXECUTE format(
        'REFRESH MATERIALIZED VIEW %s superset_ext.%I', CASE WHEN populated THEN 'CONCURRENTLY' ELSE '' END, part
    );
END
$$;

COMMENT ON FUNCTION superset_ext.refresh_part(text) IS 'Refreshes one materialized view without blocking its readers.';

CREATE OR REPLACE FUNCTION superset_ext.refresh_view(name text) RETURNS superset_ext.view_refresh
LANGUAGE plpgsql
SET jit = off
AS $$
DECLARE
    started timestamptz;
    version text;
    row_count bigint;
    done superset_ext.view_refresh;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext.refresh.' || name, 0));
    started := clock_timestamp();
    -- Read before the views are: a change in between is then seen as another version the next time.
    version := superset_ext.past_version();
    -- A lock that somebody holds on a table must not keep the other views waiting.
    PERFORM set_config('lock_timeout', '5s', true);
    IF to_regclass(format('superset_ext.%I', name || '_recent')) IS NULL THEN
        PERFORM superset_ext.refresh_part(name);
    ELSE
        PERFORM superset_ext.refresh_part(name || '_recent');
        IF NOT EXISTS (SELECT FROM superset_ext.view_refresh WHERE view = name AND past_version = version) THEN
            PERFORM superset_ext.refresh_part(name || '_past');
        END IF;
    END IF;
    EXECUTE format('SELECT count(*) FROM superset_ext.%I', name) INTO row_count;
    INSERT INTO superset_ext.view_refresh AS known (view, refreshed_at, seconds, rows, past_version)
    VALUES (name, now(), extract(epoch FROM clock_timestamp() - started), row_count, version)
    ON CONFLICT (view) DO UPDATE SET
        refreshed_at = excluded.refreshed_at, seconds = excluded.seconds, rows = excluded.rows,
        past_version = excluded.past_version, error = NULL, failed_since = NULL
    RETURNING * INTO done;
    RETURN done;
END
$$;

COMMENT ON FUNCTION superset_ext.refresh_view(text) IS 'Refreshes a view of sql/views and notes it in view_refresh, in one transaction.';
