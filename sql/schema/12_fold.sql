-- Folding: what a log has got since the last time is added to its rollups, each row exactly once.
--
-- A row is new once its transaction is visible and was not at the last fold, which rollup_state has as the snapshot of
-- that time. So a row counts however late it comes and however long its transaction was open, and no open transaction of
-- anybody holds up the others' rows. What a fold adds and the state are of one transaction: killed, it leaves nothing.

CREATE TABLE IF NOT EXISTS superset_ext.cache_minute (
    minute timestamptz NOT NULL,
    dataset_id integer NOT NULL DEFAULT 0,
    hits bigint NOT NULL DEFAULT 0,
    misses bigint NOT NULL DEFAULT 0,
    response_count bigint NOT NULL DEFAULT 0,
    response_ms_sum double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, dataset_id)
);

COMMENT ON TABLE superset_ext.cache_minute IS 'cache_performance_log of the region chart_data by minute and dataset, warming aside: what a change did is read from it.';
COMMENT ON COLUMN superset_ext.cache_minute.minute IS 'Minute of created_at.';
COMMENT ON COLUMN superset_ext.cache_minute.dataset_id IS 'Superset''s dataset; 0 for none.';
COMMENT ON COLUMN superset_ext.cache_minute.hits IS 'Sum of cache_hits.';
COMMENT ON COLUMN superset_ext.cache_minute.misses IS 'Sum of cache_misses.';
COMMENT ON COLUMN superset_ext.cache_minute.response_count IS 'Sum of response_count.';
COMMENT ON COLUMN superset_ext.cache_minute.response_ms_sum IS 'Sum of response_ms_sum, in milliseconds.';

-- The aggregate of 02_histogram.sql for what folding asks of it, many groups of few rows. Its state is the first row's
-- histogram as it is, an even number of elements; from the second row on the counts of all buckets, with the first and
-- the last that is used at the end, an odd number. The functions are replaced, and the aggregate takes the new ones.
CREATE OR REPLACE FUNCTION superset_ext.histogram_add(state bigint[], hist bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    first_one bigint[];
    size int := cardinality(hist);
BEGIN
    IF coalesce(size, 0) = 0 THEN
        RETURN state;
    ELSIF state IS NULL THEN
        RETURN hist;
    ELSIF cardinality(state) % 2 = 0 THEN
        first_one := state;
        state := array_fill(0::bigint, ARRAY[243]);
        state[241] := 240;
        state := superset_ext.histogram_add(state, first_one);
    END IF;
    FOR i IN 1 .. size BY 2 LOOP
        state[hist[i] + 1] := state[hist[i] + 1] + hist[i + 1];
    END LOOP;
    state[241] := least(state[241], hist[1] + 1);
    state[242] := greatest(state[242], hist[size - 1] + 1);
    RETURN state;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_pairs(state bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    pairs bigint[];
BEGIN
    IF state IS NULL OR cardinality(state) % 2 = 0 THEN
        RETURN state;
    END IF;
    FOR i IN state[241] .. state[242] LOOP
        IF state[i] > 0 THEN
            pairs := pairs || (i - 1)::bigint || state[i];
        END IF;
    END LOOP;
    RETURN pairs;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_combine(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN a IS NULL OR cardinality(a) % 2 = 0 THEN superset_ext.histogram_add(b, a)
        ELSE superset_ext.histogram_add(a, superset_ext.histogram_pairs(b))
    END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_of(ms double precision) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT ARRAY[
        CASE
            WHEN NOT (ms > 0.01 AND ms < 'Infinity') THEN CASE WHEN ms = 'Infinity' THEN 239 ELSE 0 END
            ELSE least(ceil(ln(ms / 0.01) / ln(1.05::float8 / 0.95)), 239)
        END::bigint,
        1
    ]
$$;

COMMENT ON FUNCTION superset_ext.histogram_of(double precision) IS 'The histogram of one time in milliseconds.';

CREATE OR REPLACE FUNCTION superset_ext.histogram_sum(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT superset_ext.histogram_pairs(superset_ext.histogram_add(superset_ext.histogram_add(NULL, a), b)) $$;

COMMENT ON FUNCTION superset_ext.histogram_sum(bigint[], bigint[]) IS 'The sum of two histograms; NULL counts as empty.';

CREATE OR REPLACE FUNCTION superset_ext.histogram_total(hist bigint[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    total double precision := 0;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(hist), 0) BY 2 LOOP
        total := total + superset_ext.histogram_value(hist[i]) * hist[i + 1];
    END LOOP;
    RETURN total;
END
$$;

COMMENT ON FUNCTION superset_ext.histogram_total(bigint[]) IS 'The sum of the times in a histogram, in milliseconds, within 5 %.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_now(log text) RETURNS superset_ext.rollup_state
LANGUAGE sql VOLATILE
AS $$
    SELECT
        log, pg_snapshot_xmax(now)::text::bigint, ARRAY(SELECT xid::text::bigint FROM pg_snapshot_xip(now) AS xid),
        (SELECT system_identifier::text FROM pg_control_system()), clock_timestamp(), NULL::bigint, NULL::timestamptz
    FROM pg_current_snapshot() AS now
$$;

COMMENT ON FUNCTION superset_ext.rollup_now(text) IS 'What rollup_state would say of a log that was folded now.';

-- The numbers of transactions begin anew on another server, as after a restored dump, and would say nothing any more. So
-- the days that the log still has are then counted again as a whole.
CREATE OR REPLACE FUNCTION superset_ext.rollup_again(log text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    first_day timestamptz;
BEGIN
    -- What is not of a transaction of this server yet would be counted once more when that number comes.
    EXECUTE format(
        'UPDATE superset_ext.%I SET written = 0 WHERE written >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint',
        log || '_performance_log'
    );
    EXECUTE format(
        $q$SELECT date_trunc('day', min(created_at), 'UTC') FROM superset_ext.%I$q$, log || '_performance_log'
    ) INTO first_day;
    EXECUTE format('DELETE FROM superset_ext.%I WHERE hour >= $1', log || '_hourly') USING first_day;
    EXECUTE format($q$DELETE FROM superset_ext.%I WHERE day >= ($1 AT TIME ZONE 'UTC')::date$q$, log || '_daily')
    USING first_day;
    IF log = 'cache' THEN
        DELETE FROM superset_ext.cache_minute WHERE minute >= first_day;
    END IF;
    UPDATE superset_ext.rollup_state SET folded = 0, open = '{}' WHERE name = log;
END
$$;

COMMENT ON FUNCTION superset_ext.rollup_again(text) IS 'Has the days that the log still has counted again by the next fold, whatever is in the rollups.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_begin(log text) RETURNS superset_ext.rollup_state
LANGUAGE plpgsql
AS $$
DECLARE
    since superset_ext.rollup_state;
    now_there text := (SELECT system_identifier::text FROM pg_control_system());
BEGIN
    -- One fold of a log at a time; the others wait here, and then see what it did.
    SELECT * INTO STRICT since FROM superset_ext.rollup_state WHERE name = log FOR UPDATE;
    IF since.cluster NOT IN ('', now_there) THEN
        PERFORM superset_ext.rollup_again(log);
        since.folded := 0;
        since.open := '{}';
    END IF;
    RETURN since;
END
$$;

COMMENT ON FUNCTION superset_ext.rollup_begin(text) IS 'Takes a log for folding, and says how far it was folded.';

CREATE OR REPLACE FUNCTION superset_ext.rollup_end(upto superset_ext.rollup_state, logged bigint, oldest timestamptz)
RETURNS void
LANGUAGE sql
AS $$
    UPDATE superset_ext.rollup_state SET
        folded = upto.folded, open = upto.open, cluster = upto.cluster, folded_at = upto.folded_at,
        rows = rows + logged,
        past_at = CASE
            WHEN (oldest AT TIME ZONE 'UTC')::date < superset_ext.utc_today() - 1 THEN clock_timestamp() ELSE past_at
        END
    WHERE name = upto.name
$$;

COMMENT ON FUNCTION superset_ext.rollup_end(superset_ext.rollup_state, bigint, timestamptz) IS 'Says how far a log is folded now.';

CREATE OR REPLACE FUNCTION superset_ext.fold_cache() RETURNS bigint
LANGUAGE plpgsql
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since superset_ext.rollup_state;
    upto superset_ext.rollup_state;
    fresh_rows record;
BEGIN
    SELECT * INTO STRICT since FROM superset_ext.rollup_begin('cache');
    upto := superset_ext.rollup_now('cache');

    INSERT INTO superset_ext.cache_minute AS m (minute, dataset_id, hits, misses, response_count, response_ms_sum)
    SELECT
        date_trunc('minute', created_at), coalesce(dataset_id, 0), sum(cache_hits), sum(cache_misses),
        sum(response_count), sum(response_ms_sum)
    FROM superset_ext.cache_performance_log
    WHERE (written >= since.folded AND written < upto.folded OR written = ANY (since.open))
        AND written <> ALL (upto.open) AND cache_type = 'chart_data' AND channel IS DISTINCT FROM 'warm'
    GROUP BY 1, 2
    ON CONFLICT (minute, dataset_id) DO UPDATE SET
        hits = m.hits + excluded.hits, misses = m.misses + excluded.misses,
        response_count = m.response_count + excluded.response_count,
        response_ms_sum = m.response_ms_sum + excluded.response_ms_sum;

    WITH fresh AS MATERIALIZED (
        SELECT
            date_trunc('hour', created_at, 'UTC') AS hour, cache_type, coalesce(dashboard_id, 0) AS dashboard_id,
            coalesce(chart_id, 0) AS chart_id, coalesce(dataset_id, 0) AS dataset_id, coalesce(channel, '') AS channel,
            count(*) AS logged,
            sum(cache_hits) AS hits, sum(cache_misses) AS misses, sum(stale_hits) AS stale_hits,
            sum(coalesced) AS coalesced, sum(miss_cold) AS miss_cold, sum(miss_expired) AS miss_expired,
            sum(miss_invalidated) AS miss_invalidated, sum(miss_evicted) AS miss_evicted,
            sum(miss_forced) AS miss_forced, sum(miss_disabled) AS miss_disabled,
            sum(miss_rejected) AS miss_rejected, sum(miss_unknown_format) AS miss_unknown_format,
            sum(miss_bad_signature) AS miss_bad_signature, sum(miss_error) AS miss_error, sum(sets) AS sets,
            sum(sets_too_large) AS sets_too_large, sum(sets_refused) AS sets_refused,
            sum(sets_memory) AS sets_memory, sum(sets_superseded) AS sets_superseded, sum(errors) AS errors,
            sum(bytes_read) AS bytes_read, sum(bytes_written) AS bytes_written,
            sum(response_count) AS response_count, sum(response_ms_sum) AS response_ms_sum,
            sum(saved_ms) AS saved_ms, sum(evictions) AS evictions, max(memory_usage) AS memory_peak,
            superset_ext.histogram_merge(hit_histogram) AS hit_histogram,
            superset_ext.histogram_merge(miss_histogram) AS miss_histogram
        FROM superset_ext.cache_performance_log
        WHERE (written >= since.folded AND written < upto.folded OR written = ANY (since.open))
            AND written <> ALL (upto.open)
        GROUP BY 1, 2, 3, 4, 5, 6
    ), hourly AS (
        INSERT INTO superset_ext.cache_hourly AS h (
            hour, cache_type, dashboard_id, chart_id, dataset_id, channel, hits, misses, stale_hits, coalesced,
            miss_cold, miss_expired, miss_invalidated, miss_evicted, miss_forced, miss_disabled, miss_rejected,
            miss_unknown_format, miss_bad_signature, miss_error, sets, sets_too_large, sets_refused, sets_memory,
            sets_superseded, errors, bytes_read, bytes_written, response_count, response_ms_sum, saved_ms, evictions,
            memory_peak, hit_histogram, miss_histogram
        )
        SELECT
            hour, cache_type, dashboard_id, chart_id, dataset_id, channel, hits, misses, stale_hits, coalesced,
            miss_cold, miss_expired, miss_invalidated, miss_evicted, miss_forced, miss_disabled, miss_rejected,
            miss_unknown_format, miss_bad_signature, miss_error, sets, sets_too_large, sets_refused, sets_memory,
            sets_superseded, errors, bytes_read, bytes_written, response_count, response_ms_sum, saved_ms, evictions,
            memory_peak, hit_histogram, miss_histogram
        FROM fresh
        ON CONFLICT (hour, cache_type, dashboard_id, chart_id, dataset_id, channel) DO UPDATE SET
            hits = h.hits + excluded.hits, misses = h.misses + excluded.misses,
            stale_hits = h.stale_hits + excluded.stale_hits, coalesced = h.coalesced + excluded.coalesced,
            miss_cold = h.miss_cold + excluded.miss_cold, miss_expired = h.miss_expired + excluded.miss_expired,
            miss_invalidated = h.miss_invalidated + excluded.miss_invalidated,
            miss_evicted = h.miss_evicted + excluded.miss_evicted,
            miss_forced = h.miss_forced + excluded.miss_forced,
            miss_disabled = h.miss_disabled + excluded.miss_disabled,
            miss_rejected = h.miss_rejected + excluded.miss_rejected,
            miss_unknown_format = h.miss_unknown_format + excluded.miss_unknown_format,
            miss_bad_signature = h.miss_bad_signature + excluded.miss_bad_signature,
            miss_error = h.miss_error + excluded.miss_error, sets = h.sets + excluded.sets,
            sets_too_large = h.sets_too_large + excluded.sets_too_large,
            sets_refused = h.sets_refused + excluded.sets_refused,
            sets_memory = h.sets_memory + excluded.sets_memory,
            sets_superseded = h.sets_superseded + excluded.sets_superseded, errors = h.errors + excluded.errors,
            bytes_read = h.bytes_read + excluded.bytes_read,
            bytes_written = h.bytes_written + excluded.bytes_written,
            response_count = h.response_count + excluded.response_count,
            response_ms_sum = h.response_ms_sum + excluded.response_ms_sum,
            saved_ms = h.saved_ms + excluded.saved_ms, evictions = h.evictions + excluded.evictions,
            memory_peak = greatest(h.memory_peak, excluded.memory_peak),
            hit_histogram = superset_ext.histogram_sum(h.hit_histogram, excluded.hit_histogram),
            miss_histogram = superset_ext.histogram_sum(h.miss_histogram, excluded.miss_histogram)
    ), daily AS (
        INSERT INTO superset_ext.cache_daily AS d (
            day, cache_type, dashboard_id, chart_id, dataset_id, channel, hits, misses, stale_hits, coalesced,
            miss_cold, miss_expired, miss_invalidated, miss_evicted, miss_forced, miss_disabled, miss_rejected,
            miss_unknown_format, miss_bad_signature, miss_error, sets, sets_too_large, sets_refused, sets_memory,
            sets_superseded, errors, bytes_read, bytes_written, response_count, response_ms_sum, saved_ms, evictions,
            memory_peak, hit_histogram, miss_histogram
        )
        SELECT
            (hour AT TIME ZONE 'UTC')::date, cache_type, dashboard_id, chart_id, dataset_id, channel,
            sum(hits), sum(misses), sum(stale_hits), sum(coalesced), sum(miss_cold), sum(miss_expired),
            sum(miss_invalidated), sum(miss_evicted), sum(miss_forced), sum(miss_disabled), sum(miss_rejected),
            sum(miss_unknown_format), sum(miss_bad_signature), sum(miss_error), sum(sets), sum(sets_too_large),
            sum(sets_refused), sum(sets_memory), sum(sets_superseded), sum(errors), sum(bytes_read),
            sum(bytes_written), sum(response_count), sum(response_ms_sum), sum(saved_ms), sum(evictions),
            max(memory_peak), superset_ext.histogram_merge(hit_histogram),
            superset_ext.histogram_merge(miss_histogram)
        FROM fresh
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (day, cache_type, dashboard_id, chart_id, dataset_id, channel) DO UPDATE SET
            hits = d.hits + excluded.hits, misses = d.misses + excluded.misses,
            stale_hits = d.stale_hits + excluded.stale_hits, coalesced = d.coalesced + excluded.coalesced,
            miss_cold = d.miss_cold + excluded.miss_cold, miss_expired = d.miss_expired + excluded.miss_expired,
            miss_invalidated = d.miss_invalidated + excluded.miss_invalidated,
            miss_evicted = d.miss_evicted + excluded.miss_evicted,
            miss_forced = d.miss_forced + excluded.miss_forced,
            miss_disabled = d.miss_disabled + excluded.miss_disabled,
            miss_rejected = d.miss_rejected + excluded.miss_rejected,
            miss_unknown_format = d.miss_unknown_format + excluded.miss_unknown_format,
            miss_bad_signature = d.miss_bad_signature + excluded.miss_bad_signature,
            miss_error = d.miss_error + excluded.miss_error, sets = d.sets + excluded.sets,
            sets_too_large = d.sets_too_large + excluded.sets_too_large,
            sets_refused = d.sets_refused + excluded.sets_refused,
            sets_memory = d.sets_memory + excluded.sets_memory,
            sets_superseded = d.sets_superseded + excluded.sets_superseded, errors = d.errors + excluded.errors,
            bytes_read = d.bytes_read + excluded.bytes_read,
            bytes_written = d.bytes_written + excluded.bytes_written,
            response_count = d.response_count + excluded.response_count,
            response_ms_sum = d.response_ms_sum + excluded.response_ms_sum,
            saved_ms = d.saved_ms + excluded.saved_ms, evictions = d.evictions + excluded.evictions,
            memory_peak = greatest(d.memory_peak, excluded.memory_peak),
            hit_histogram = superset_ext.histogram_sum(d.hit_histogram, excluded.hit_histogram),
            miss_histogram = superset_ext.histogram_sum(d.miss_histogram, excluded.miss_histogram)
    )
    SELECT coalesce(sum(logged), 0)::bigint AS logged, min(hour) AS oldest INTO STRICT fresh_rows FROM fresh;

    PERFORM superset_ext.rollup_end(upto, fresh_rows.logged, fresh_rows.oldest);
    RETURN fresh_rows.logged;
END
$$;

COMMENT ON FUNCTION superset_ext.fold_cache() IS 'Adds what cache_performance_log has got since the last time to cache_hourly, cache_daily and cache_minute, each row once; returns how many rows that were.';

CREATE OR REPLACE FUNCTION superset_ext.fold_query(slow_ms double precision) RETURNS bigint
LANGUAGE plpgsql
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since superset_ext.rollup_state;
    upto superset_ext.rollup_state;
    fresh_rows record;
BEGIN
    SELECT * INTO STRICT since FROM superset_ext.rollup_begin('query');
    upto := superset_ext.rollup_now('query');

    WITH fresh AS MATERIALIZED (
        SELECT
            date_trunc('hour', created_at, 'UTC') AS hour, source, coalesce(channel, '') AS channel,
            coalesce(fingerprint, '') AS fingerprint, coalesce(database_id, 0) AS database_id,
            coalesce(dataset_id, 0) AS dataset_id, coalesce(chart_id, 0) AS chart_id,
            coalesce(dashboard_id, 0) AS dashboard_id,
            count(*) AS runs, count(error) AS errors, count(*) FILTER (WHERE duration_ms >= slow_ms) AS slow,
            coalesce(sum(rows), 0) AS rows, sum(duration_ms) AS duration_ms_sum, max(duration_ms) AS duration_ms_max,
            superset_ext.histogram_merge(superset_ext.histogram_of(duration_ms)) AS histogram
        FROM superset_ext.query_performance_log
        WHERE (written >= since.folded AND written < upto.folded OR written = ANY (since.open))
            AND written <> ALL (upto.open)
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ), hourly AS (
        INSERT INTO superset_ext.query_hourly AS h (
            hour, source, channel, database_id, dataset_id, chart_id, dashboard_id, runs, errors, slow, rows,
            duration_ms_sum, duration_ms_max, histogram
        )
        SELECT
            hour, source, channel, database_id, dataset_id, chart_id, dashboard_id,
            sum(runs), sum(errors), sum(slow), sum(rows), sum(duration_ms_sum), max(duration_ms_max),
            superset_ext.histogram_merge(histogram)
        FROM fresh
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT (hour, source, channel, database_id, dataset_id, chart_id, dashboard_id) DO UPDATE SET
            runs = h.runs + excluded.runs, errors = h.errors + excluded.errors, slow = h.slow + excluded.slow,
            rows = h.rows + excluded.rows, duration_ms_sum = h.duration_ms_sum + excluded.duration_ms_sum,
            duration_ms_max = greatest(h.duration_ms_max, excluded.duration_ms_max),
            histogram = superset_ext.histogram_sum(h.histogram, excluded.histogram)
    ), daily AS (
        INSERT INTO superset_ext.query_daily AS d (
            day, fingerprint, database_id, dataset_id, chart_id, dashboard_id, runs, errors, slow, rows,
            duration_ms_sum, duration_ms_max, histogram
        )
        SELECT
            (hour AT TIME ZONE 'UTC')::date, fingerprint, database_id, dataset_id, chart_id, dashboard_id,
            sum(runs), sum(errors), sum(slow), sum(rows), sum(duration_ms_sum), max(duration_ms_max),
            superset_ext.histogram_merge(histogram)
        FROM fresh
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (day, fingerprint, database_id, dataset_id, chart_id, dashboard_id) DO UPDATE SET
            runs = d.runs + excluded.runs, errors = d.errors + excluded.errors, slow = d.slow + excluded.slow,
            rows = d.rows + excluded.rows, duration_ms_sum = d.duration_ms_sum + excluded.duration_ms_sum,
            duration_ms_max = greatest(d.duration_ms_max, excluded.duration_ms_max),
            histogram = superset_ext.histogram_sum(d.histogram, excluded.histogram)
    )
    SELECT coalesce(sum(runs), 0)::bigint AS logged, min(hour) AS oldest INTO STRICT fresh_rows FROM fresh;

    PERFORM superset_ext.rollup_end(upto, fresh_rows.logged, fresh_rows.oldest);
    RETURN fresh_rows.logged;
END
$$;

COMMENT ON FUNCTION superset_ext.fold_query(double precision) IS 'Adds what query_performance_log has got since the last time to query_hourly and query_daily, each row once; slow are those of slow_ms milliseconds and more. Returns how many rows that were.';
