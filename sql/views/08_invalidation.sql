-- What changed, in the last 30 days, and the charts of what changed in the 15 minutes before and after it.

DROP VIEW IF EXISTS superset_ext.perf_invalidation;
DROP MATERIALIZED VIEW IF EXISTS superset_ext.perf_invalidation_recent, superset_ext.perf_invalidation_past;
DROP VIEW IF EXISTS superset_ext.perf_invalidation_live;

CREATE VIEW superset_ext.perf_invalidation_live AS
WITH asked AS (
    -- Few tables change again and again: which datasets read them is looked up once for each.
    SELECT DISTINCT tags, operation FROM superset_ext.cache_invalidation_log
), reading AS MATERIALIZED (
    SELECT DISTINCT asked.tags, asked.operation, request.dataset_id
    FROM asked
    JOIN superset_ext.cache_request AS request ON request.tags && (
        SELECT array_agg(tag) || array_agg(tag || '@' || asked.operation) FROM unnest(asked.tags) AS tag
    )
)
SELECT
    change.id, change.created_at, CASE WHEN change.precaution THEN 'listener, to be safe' ELSE change.source END AS source,
    change.operation,
    coalesce(
        array_to_string(what.names[1:3], ', ') || CASE WHEN cardinality(what.names) > 3
            THEN ' and ' || cardinality(what.names) - 3 || ' more' ELSE '' END,
        'everything'
    ) AS tables,
    change.seconds, change.entries_affected, change.entries_exact, change.rewarmed,
    change.precaution,
    (around.hits_before / nullif(around.requests_before, 0))::double precision AS hit_ratio_before,
    (around.hits_after / nullif(around.requests_after, 0))::double precision AS hit_ratio_after,
    around.ms_before / nullif(around.count_before, 0) AS response_ms_before,
    around.ms_after / nullif(around.count_after, 0) AS response_ms_after
FROM superset_ext.cache_invalidation_log AS change
CROSS JOIN LATERAL (
    SELECT array_agg(named.label ORDER BY named.label) AS names
    FROM (
        -- Tables, of which each begins with the number of its database.
        SELECT coalesce(
            superset_ext.object_label('database', source.id, source.name)
            || regexp_replace(told.name, '^[0-9]+:', ': '), told.name
        ) AS label
        FROM unnest(change.tables) AS told (name)
        CROSS JOIN LATERAL (
            SELECT number.id, known.name
            FROM CAST(substring(told.name FROM '^[0-9]{1,9}(?=:)') AS integer) AS number (id)
            LEFT JOIN superset_ext.object_name AS known ON known.kind = 'database' AND known.id = number.id
        ) AS source
        UNION ALL
        -- Of an edit in Superset, what was edited.
        SELECT edited.kind || ' ' || superset_ext.object_label(edited.kind, edited.id, known.name)
        FROM unnest(change.tags) AS tag
        CROSS JOIN LATERAL (
            SELECT split_part(tag, ':', 1), CAST(substring(tag FROM '^[a-z]+:([0-9]{1,9})$') AS integer)
        ) AS edited (kind, id)
        LEFT JOIN superset_ext.object_name AS known ON known.kind = edited.kind AND known.id = edited.id
        WHERE cardinality(change.tables) = 0 AND edited.id > 0
            AND edited.kind IN ('database', 'dataset', 'chart', 'dashboard')
    ) AS named
) AS what
CROSS JOIN LATERAL date_trunc('minute', change.created_at) AS told (minute)
CROSS JOIN LATERAL (
    SELECT
        sum(m.hits) FILTER (WHERE m.minute < told.minute) AS hits_before,
        sum(m.hits + m.misses) FILTER (WHERE m.minute < told.minute) AS requests_before,
        sum(m.response_ms_sum) FILTER (WHERE m.minute < told.minute) AS ms_before,
        sum(m.response_count) FILTER (WHERE m.minute < told.minute) AS count_before,
        sum(m.hits) FILTER (WHERE m.minute >= told.minute) AS hits_after,
        sum(m.hits + m.misses) FILTER (WHERE m.minute >= told.minute) AS requests_after,
        sum(m.response_ms_sum) FILTER (WHERE m.minute >= told.minute) AS ms_after,
        sum(m.response_count) FILTER (WHERE m.minute >= told.minute) AS count_after
    FROM reading
    JOIN superset_ext.cache_minute AS m USING (dataset_id)
    WHERE reading.tags = change.tags AND reading.operation = change.operation
        AND m.minute >= told.minute - interval '15 minutes' AND m.minute < told.minute + interval '15 minutes'
) AS around;

CREATE MATERIALIZED VIEW superset_ext.perf_invalidation_past AS
SELECT * FROM superset_ext.perf_invalidation_live
WHERE created_at >= now() - interval '30 days'
    AND created_at < (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE MATERIALIZED VIEW superset_ext.perf_invalidation_recent AS
SELECT * FROM superset_ext.perf_invalidation_live
WHERE created_at >= (superset_ext.utc_today() - 1)::timestamp AT TIME ZONE 'UTC';

CREATE UNIQUE INDEX perf_invalidation_past_key
    ON superset_ext.perf_invalidation_past (id);
CREATE UNIQUE INDEX perf_invalidation_recent_key
    ON superset_ext.perf_invalidation_recent (id);

CREATE VIEW superset_ext.perf_invalidation AS
SELECT * FROM superset_ext.perf_invalidation_past
UNION ALL
SELECT * FROM superset_ext.perf_invalidation_recent;

COMMENT ON VIEW superset_ext.perf_invalidation_live IS 'What perf_invalidation is made of, as of now; it is computed at each reading.';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_invalidation_past IS 'perf_invalidation before yesterday (UTC).';
COMMENT ON MATERIALIZED VIEW superset_ext.perf_invalidation_recent IS 'perf_invalidation since yesterday (UTC).';
COMMENT ON VIEW superset_ext.perf_invalidation IS 'What changed, in the last 30 days, and the charts that show what changed in the 15 minutes before and after it, to the minute; warming''s own reads are left out.';
COMMENT ON COLUMN superset_ext.perf_invalidation.id IS 'The row of cache_invalidation_log.';
COMMENT ON COLUMN superset_ext.perf_invalidation.created_at IS 'When it was told.';
COMMENT ON COLUMN superset_ext.perf_invalidation.source IS 'What reported it: webhook, cli, superset, sqllab, postgresql, probe; or a listener that has begun to listen, or has made triggers again, and drops what it may have missed.';
COMMENT ON COLUMN superset_ext.perf_invalidation.operation IS 'user_action, schema_change or data_update.';
COMMENT ON COLUMN superset_ext.perf_invalidation.tables IS 'Source tables with their database, or what was edited in Superset: the first three, and how many more.';
COMMENT ON COLUMN superset_ext.perf_invalidation.seconds IS 'From the change to the moment when nothing older was served any more, where known.';
COMMENT ON COLUMN superset_ext.perf_invalidation.entries_affected IS 'Entries that were dropped, as far as the registry of requests knows; NULL where nothing is registered.';
COMMENT ON COLUMN superset_ext.perf_invalidation.entries_exact IS 'Whether these are all.';
COMMENT ON COLUMN superset_ext.perf_invalidation.rewarmed IS 'Entries that were warmed again after it.';
COMMENT ON COLUMN superset_ext.perf_invalidation.precaution IS 'Whether nobody reported a change: a listener has begun to listen or has made triggers again, and drops what it may have missed.';
COMMENT ON COLUMN superset_ext.perf_invalidation.hit_ratio_before IS 'Hit ratio, 0 to 1, of the datasets that read it, in the 15 minutes before.';
COMMENT ON COLUMN superset_ext.perf_invalidation.hit_ratio_after IS 'The same in the 15 minutes after, the minute of the change included.';
COMMENT ON COLUMN superset_ext.perf_invalidation.response_ms_before IS 'Mean time of an answer in milliseconds, in the 15 minutes before.';
COMMENT ON COLUMN superset_ext.perf_invalidation.response_ms_after IS 'The same in the 15 minutes after.';
