-- Rolling up: the new rows of a log are added to its rollups, each row exactly once.
--
-- A row is new once its transaction is visible now and was not at the last roll-up, whose snapshot rollup_state keeps. So
-- a row counts however late it comes and however long its transaction was open, and an open transaction holds up no
-- other rows. The rollups and the state change in one transaction: a roll-up that is killed leaves nothing.

CREATE TABLE IF NOT EXISTS superset_ext.rollup_state (
    log text PRIMARY KEY,
    next_transaction bigint NOT NULL DEFAULT 0,
    open_transactions bigint[] NOT NULL DEFAULT '{}',
    cluster text NOT NULL DEFAULT '',
    rolled_up_at timestamptz,
    rows bigint NOT NULL DEFAULT 0,
    past_changed_at timestamptz
);

COMMENT ON TABLE superset_ext.rollup_state IS 'How far the rollups are: a row of a log is in them if its transaction is below next_transaction and not in open_transactions.';
COMMENT ON COLUMN superset_ext.rollup_state.log IS 'cache or query.';
COMMENT ON COLUMN superset_ext.rollup_state.next_transaction IS 'The first transaction that had not begun at the last roll-up.';
COMMENT ON COLUMN superset_ext.rollup_state.open_transactions IS 'Earlier transactions that were still open then; their rows count once they have ended.';
COMMENT ON COLUMN superset_ext.rollup_state.cluster IS 'The server''s own identifier. Another server, as after a restored dump, numbers its transactions anew.';
COMMENT ON COLUMN superset_ext.rollup_state.rolled_up_at IS 'When the last roll-up was; NULL for never.';
COMMENT ON COLUMN superset_ext.rollup_state.rows IS 'Rows of the log that were ever rolled up.';
COMMENT ON COLUMN superset_ext.rollup_state.past_changed_at IS 'When a row of a day before yesterday was last rolled up.';

INSERT INTO superset_ext.rollup_state (log) VALUES ('cache'), ('query') ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION superset_ext.rollup_now(which text) RETURNS superset_ext.rollup_state
LANGUAGE sql VOLATILE
AS $$
    SELECT
        which, pg_snapshot_xmax(now)::text::bigint, ARRAY(SELECT xid::text::bigint FROM pg_snapshot_xip(now) AS xid),
        (SELECT system_identifier::text FROM pg_control_system()), clock_timestamp(), NULL::bigint, NULL::timestamptz
    FROM pg_current_snapshot() AS now
$$;

COMMENT ON FUNCTION superset_ext.rollup_now(text) IS 'The row that rollup_state would have if the log was rolled up now.';

-- Another server, as after a restored dump, numbers its transactions anew, and the stored numbers mean nothing there. So
-- the days that the log still has are then counted again as a whole.
CREATE OR REPLACE FUNCTION superset_ext.rollup_again(which text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    first_day timestamptz;
BEGIN
    -- A row with a number that this server has not reached yet would be counted once more when it does.
    EXECUTE format(
        'UPDATE superset_ext.%I SET transaction_id = 0'
        ' WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint',
        which || '_performance_log'
    );
    EXECUTE format(
        $q$SELECT date_trunc('day', min(created_at), 'UTC') FROM superset_ext.%I$q$, which || '_performance_log'
    ) INTO first_day;
    EXECUTE format('DELETE FROM superset_ext.%I WHERE hour >= $1', which || '_hourly') USING first_day;
    EXECUTE format($q$DELETE FROM superset_ext.%I WHERE day >= ($1 AT TIME ZONE 'UTC')::date$q$, which || '_daily')
    USING first_day;
    IF which = 'cache' THEN
        DELETE FROM superset_ext.cache_minute WHERE minute >= first_day;
    END IF;
    UPDATE superset_ext.rollup_state SET next_transaction = 0, open_transactions = '{}' WHERE log = which;
END
$$;

COMMENT ON FUNCTION superset_ext.rollup_again(text) IS 'Makes the next roll-up count again all days that the log still has.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_begin(which text) RETURNS superset_ext.rollup_state
LANGUAGE plpgsql
AS $$
DECLARE
    since superset_ext.rollup_state;
    this_server text := (SELECT system_identifier::text FROM pg_control_system());
BEGIN
    -- One roll-up of a log at a time; the others wait here, and then see what the first one did.
    SELECT * INTO STRICT since FROM superset_ext.rollup_state WHERE log = which FOR UPDATE;
    IF since.cluster NOT IN ('', this_server) THEN
        PERFORM superset_ext.rollup_again(which);
        since.next_transaction := 0;
        since.open_transactions := '{}';
    END IF;
    RETURN since;
END
$$;

COMMENT ON FUNCTION superset_ext.rollup_begin(text) IS 'Locks a log for rolling up, and returns its row of rollup_state.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_end(upto superset_ext.rollup_state, logged bigint, oldest timestamptz)
RETURNS void
LANGUAGE sql
AS $$
    UPDATE superset_ext.rollup_state SET
        next_transaction = upto.next_transaction, open_transactions = upto.open_transactions, cluster = upto.cluster,
        rolled_up_at = upto.rolled_up_at, rows = rows + logged,
        past_changed_at = CASE
            WHEN (oldest AT TIME ZONE 'UTC')::date < superset_ext.utc_today() - 1 THEN clock_timestamp()
            ELSE past_changed_at
        END
    WHERE log = upto.log
$$;

COMMENT ON FUNCTION superset_ext.rollup_end(superset_ext.rollup_state, bigint, timestamptz) IS 'Notes how far a log is rolled up.';

-- The statement that rolls up a log is put together from the keys and the measures of its rollups. Its parameters are
-- the first transaction that is new ($1) and the first that is too new ($2), those that were open at the last roll-up
-- ($3) and those that are open now ($4), and slow_ms ($5).

CREATE OR REPLACE FUNCTION superset_ext.rollup_key(rollup text) RETURNS TABLE (name text, ordinal bigint)
LANGUAGE sql STABLE
AS $$
    SELECT a.attname::text, k.ordinal
    FROM pg_catalog.pg_index AS i
    CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, ordinal)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = format('superset_ext.%I', rollup)::regclass AND i.indisprimary
$$;

COMMENT ON FUNCTION superset_ext.rollup_key(text) IS 'The columns of a rollup''s primary key.';

CREATE OR REPLACE FUNCTION superset_ext.aggregate_of(kind text, expression text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format(
        CASE kind WHEN 'sum' THEN 'sum(%s)' WHEN 'max' THEN 'max(%s)' ELSE 'superset_ext.histogram_merge(%s)' END,
        expression
    )
$$;

COMMENT ON FUNCTION superset_ext.aggregate_of(text, text) IS 'The aggregate for a measure of this kind, as SQL.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_fresh(which text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format(
        'SELECT %s, count(*) AS logged, %s FROM superset_ext.%I'
        ' WHERE (transaction_id >= $1 AND transaction_id < $2 OR transaction_id = ANY ($3))'
        ' AND transaction_id <> ALL ($4) GROUP BY %s',
        key.expressions, measure.aggregates, which || '_performance_log', key.ordinals
    )
    FROM (
        SELECT
            string_agg(
                format(
                    CASE
                        WHEN name = 'hour' THEN 'date_trunc(''hour'', created_at, ''UTC'') AS %I'
                        WHEN name LIKE '%\_id' THEN 'coalesce(%1$I, 0) AS %1$I'
                        ELSE 'coalesce(%1$I, '''') AS %1$I'
                    END,
                    name
                ),
                ', ' ORDER BY name
            ) AS expressions,
            string_agg(ordinal::text, ', ') AS ordinals
        FROM (
            SELECT name, row_number() OVER (ORDER BY name) AS ordinal
            FROM (
                SELECT name FROM superset_ext.rollup_key(which || '_hourly')
                UNION
                SELECT name FROM superset_ext.rollup_key(which || '_daily')
            ) AS of_both
            WHERE name <> 'day'
        ) AS numbered
    ) AS key
    CROSS JOIN (
        SELECT
            string_agg(superset_ext.aggregate_of(kind, expression) || ' AS ' || quote_ident(name), ', ') AS aggregates
        FROM superset_ext.rollup_measure
        WHERE log = which
    ) AS measure
$$;

COMMENT ON FUNCTION superset_ext.rollup_fresh(text) IS 'The query of a log''s new rows, by hour and by the keys of both of its rollups; an unknown key is 0 or empty.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_insert(which text, rollup text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format(
        'INSERT INTO superset_ext.%1$I AS kept (%2$s, %3$s) SELECT %4$s, %5$s FROM fresh GROUP BY %6$s'
        ' ON CONFLICT (%2$s) DO UPDATE SET %7$s',
        rollup, key.names, measure.names, key.expressions, measure.aggregates, key.ordinals, measure.additions
    )
    FROM (
        SELECT
            string_agg(quote_ident(name), ', ' ORDER BY ordinal) AS names,
            string_agg(
                CASE name WHEN 'day' THEN '(hour AT TIME ZONE ''UTC'')::date' ELSE quote_ident(name) END,
                ', ' ORDER BY ordinal
            ) AS expressions,
            string_agg(ordinal::text, ', ') AS ordinals
        FROM superset_ext.rollup_key(rollup)
    ) AS key
    CROSS JOIN (
        SELECT
            string_agg(quote_ident(name), ', ' ORDER BY ordinal) AS names,
            string_agg(superset_ext.aggregate_of(kind, quote_ident(name)), ', ' ORDER BY ordinal) AS aggregates,
            string_agg(
                format(
                    CASE kind
                        WHEN 'sum' THEN '%1$I = kept.%1$I + excluded.%1$I'
                        WHEN 'max' THEN '%1$I = greatest(kept.%1$I, excluded.%1$I)'
                        ELSE '%1$I = superset_ext.histogram_sum(kept.%1$I, excluded.%1$I)'
                    END,
                    name
                ),
                ', '
            ) AS additions
        FROM superset_ext.rollup_measure
        WHERE log = which
    ) AS measure
$$;

COMMENT ON FUNCTION superset_ext.rollup_insert(text, text) IS 'The statement that adds the rows of rollup_fresh to a rollup.';

CREATE OR REPLACE FUNCTION superset_ext.roll_up_minutes(
    since superset_ext.rollup_state, upto superset_ext.rollup_state
) RETURNS void
LANGUAGE plpgsql
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    INSERT INTO superset_ext.cache_minute AS kept (minute, dataset_id, hits, misses, response_count, response_ms_sum)
    SELECT
        date_trunc('minute', created_at), coalesce(dataset_id, 0), sum(cache_hits), sum(cache_misses),
        sum(response_count), sum(response_ms_sum)
    FROM superset_ext.cache_performance_log
    WHERE (
            transaction_id >= since.next_transaction AND transaction_id < upto.next_transaction
            OR transaction_id = ANY (since.open_transactions)
        )
        AND transaction_id <> ALL (upto.open_transactions) AND cache_type = 'chart_data'
        AND channel IS DISTINCT FROM 'warm'
    GROUP BY 1, 2
    ON CONFLICT (minute, dataset_id) DO UPDATE SET
        hits = kept.hits + excluded.hits, misses = kept.misses + excluded.misses,
        response_count = kept.response_count + excluded.response_count,
        response_ms_sum = kept.response_ms_sum + excluded.response_ms_sum;
END
$$;

COMMENT ON FUNCTION superset_ext.roll_up_minutes(superset_ext.rollup_state, superset_ext.rollup_state) IS 'Adds to cache_minute the rows of cache_performance_log that came between two states.';

CREATE OR REPLACE FUNCTION superset_ext.roll_up(which text, slow_ms double precision DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql
SET jit = off
AS $$
DECLARE
    since superset_ext.rollup_state;
    upto superset_ext.rollup_state;
    logged bigint;
    oldest timestamptz;
BEGIN
    SELECT * INTO STRICT since FROM superset_ext.rollup_begin(which);
    upto := superset_ext.rollup_now(which);
    IF which = 'cache' THEN
        PERFORM superset_ext.roll_up_minutes(since, upto);
    END IF;
    EXECUTE format(
        'WITH fresh AS MATERIALIZED (%s), hourly AS (%s), daily AS (%s)'
        ' SELECT coalesce(sum(logged), 0)::bigint, min(hour) FROM fresh',
        superset_ext.rollup_fresh(which), superset_ext.rollup_insert(which, which || '_hourly'),
        superset_ext.rollup_insert(which, which || '_daily')
    )
    INTO STRICT logged, oldest
    USING since.next_transaction, upto.next_transaction, since.open_transactions, upto.open_transactions, slow_ms;
    PERFORM superset_ext.rollup_end(upto, logged, oldest);
    RETURN logged;
END
$$;

COMMENT ON FUNCTION superset_ext.roll_up(text, double precision) IS 'Adds the new rows of a log, cache or query, to its rollups, each row once, and returns their number. A query is slow from slow_ms milliseconds.';

-- Totals that never go down, for readers that count by differences, as Prometheus does: the sums of the daily rollups,
-- and of the days that were deleted from them.

CREATE TABLE IF NOT EXISTS superset_ext.rollup_total_past (
    log text NOT NULL,
    subject text NOT NULL,
    measure text NOT NULL,
    total double precision NOT NULL,
    PRIMARY KEY (log, subject, measure)
);

COMMENT ON TABLE superset_ext.rollup_total_past IS 'Sums over the days that the daily rollups no longer have.';
COMMENT ON COLUMN superset_ext.rollup_total_past.log IS 'cache or query.';
COMMENT ON COLUMN superset_ext.rollup_total_past.subject IS 'Region, or Superset''s id of the database, 0 for none.';
COMMENT ON COLUMN superset_ext.rollup_total_past.measure IS 'Column of the daily rollup.';
COMMENT ON COLUMN superset_ext.rollup_total_past.total IS 'Its sum.';

CREATE OR REPLACE FUNCTION superset_ext.sums_of(which text, source text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format(
        'SELECT subject, key AS measure, value::text::double precision AS total'
        ' FROM (SELECT %s::text AS subject, %s FROM %s GROUP BY 1) AS summed'
        ' CROSS JOIN LATERAL jsonb_each(to_jsonb(summed) - ''subject'')',
        CASE which WHEN 'cache' THEN 'cache_type' ELSE 'database_id' END,
        string_agg(format('sum(%1$I) AS %1$I', name), ', '), source
    )
    FROM superset_ext.rollup_measure
    WHERE log = which AND kind = 'sum'
$$;

COMMENT ON FUNCTION superset_ext.sums_of(text, text) IS 'The query of the sums over rows of a daily rollup, by subject and measure.';

CREATE OR REPLACE FUNCTION superset_ext.totals(which text)
RETURNS TABLE (subject text, measure text, total double precision)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT subject, measure, sum(total) FROM ('
        'SELECT subject, measure, total FROM superset_ext.rollup_total_past WHERE log = $1 UNION ALL %s'
        ') AS parts GROUP BY subject, measure',
        superset_ext.sums_of(which, format('superset_ext.%I', which || '_daily'))
    )
    USING which;
END
$$;

COMMENT ON FUNCTION superset_ext.totals(text) IS 'The sums of a log, cache or query, since it began, as of the last roll-up: by region or by Superset''s id of the database, and by column of the daily rollup.';

CREATE OR REPLACE FUNCTION superset_ext.forget_days(which text, before date) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format(
        'WITH gone AS (DELETE FROM superset_ext.%I WHERE day < $2 RETURNING *)'
        ' INSERT INTO superset_ext.rollup_total_past AS past (log, subject, measure, total)'
        ' SELECT $1, subject, measure, total FROM (%s) AS sums'
        ' ON CONFLICT (log, subject, measure) DO UPDATE SET total = past.total + excluded.total',
        which || '_daily', superset_ext.sums_of(which, 'gone')
    )
    USING which, before;
END
$$;

COMMENT ON FUNCTION superset_ext.forget_days(text, date) IS 'Deletes the days before one from a daily rollup; the totals keep their sums.';

CREATE OR REPLACE FUNCTION superset_ext.cache_counts(since timestamptz) RETURNS SETOF superset_ext.cache_hourly
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    -- A row of cache_hourly has its keys first, and then the measures in their order.
    RETURN QUERY EXECUTE format(
        'SELECT $1, cache_type, 0, 0, 0, '''', %s FROM superset_ext.cache_performance_log'
        ' WHERE created_at >= $1 AND channel IS DISTINCT FROM ''warm'' GROUP BY cache_type',
        (
            SELECT string_agg(superset_ext.aggregate_of(kind, expression) || '::' || type, ', ' ORDER BY ordinal)
            FROM superset_ext.rollup_measure
            WHERE log = 'cache'
        )
    )
    USING since;
END
$$;

COMMENT ON FUNCTION superset_ext.cache_counts(timestamptz) IS 'What each region has counted since then, warming left out, as one row of cache_hourly.';
