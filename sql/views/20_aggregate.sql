-- Aggregates, what charts they have answered and what that saved, and why other charts were not. Not materialized: they are few.

DROP VIEW IF EXISTS superset_ext.perf_aggregate;

CREATE VIEW superset_ext.perf_aggregate AS
SELECT
    row_number() OVER (ORDER BY coalesce(used.saved_seconds, 0) DESC, kept.database_id, kept.aggregate) AS place,
    kept.seen_at AS at, kept.database_id, superset_ext.object_label('database', kept.database_id, name.name) AS database,
    kept.aggregate, kept.title AS made_of,
    CASE WHEN gone.at IS NOT NULL THEN 'off: it gave other rows'
         WHEN kept.state <> 'ready' THEN kept.state || coalesce(': ' || nullif(kept.reason, ''), '')
         WHEN kept.is_exact THEN 'exact' ELSE 'behind' END AS state,
    coalesce(used.answered, 0) AS answered, coalesce(used.saved_seconds, 0) AS saved_seconds,
    coalesce(used.compared, 0) AS compared, coalesce(used.differences, 0) AS differences,
    coalesce(used.failures, 0) AS failures, kept.rows, kept.bytes, pg_size_pretty(kept.bytes) AS size, kept.as_of,
    kept.upkeep || ', every ' || kept.every_seconds || ' s'
        || coalesce(', ' || to_char(kept.refresh_seconds, 'FM999990.0') || ' s', '') AS upkeep,
    coalesce(refused.refused, 0) AS refused, coalesce(refused.reasons, '') AS reasons
FROM superset_ext.aggregate_state AS kept
LEFT JOIN (
    SELECT u.database_id, u.rules[1] AS edition, sum(u.uses)::bigint AS answered, sum(u.runs)::bigint AS compared,
        sum(u.differences)::bigint AS differences, sum(u.failures)::bigint AS failures,
        sum(u.uses * greatest(u.stock_ms - u.rewritten_ms, 0) / nullif(u.runs, 0)) / 1000 AS saved_seconds
    FROM superset_ext.aggregate_use AS u GROUP BY u.database_id, u.rules[1]
) AS used ON used.database_id = kept.database_id AND used.edition = kept.edition
LEFT JOIN superset_ext.aggregate_switched_off AS gone
    ON gone.database_id = kept.database_id AND gone.aggregate = kept.edition
LEFT JOIN LATERAL (
    SELECT sum(r.refused)::bigint AS refused,
        string_agg(r.refused || ' × ' || r.reason, '; ' ORDER BY r.refused DESC, r.reason) AS reasons
    FROM (
        SELECT r.reason, sum(r.refused)::bigint AS refused FROM superset_ext.aggregate_refusal AS r
        WHERE r.database_id = kept.database_id AND r.base = kept.base AND r.aggregate IN ('', kept.aggregate)
        GROUP BY r.reason ORDER BY 2 DESC, 1 LIMIT 5
    ) AS r
) AS refused ON true
LEFT JOIN superset_ext.object_name AS name ON name.kind = 'database' AND name.id = kept.database_id;

COMMENT ON VIEW superset_ext.perf_aggregate IS 'Aggregates, what charts they have answered and what that saved, and why other charts were not.';
COMMENT ON COLUMN superset_ext.perf_aggregate.place IS '1 for what has saved most.';
COMMENT ON COLUMN superset_ext.perf_aggregate.at IS 'When its source was last looked at.';
COMMENT ON COLUMN superset_ext.perf_aggregate.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.perf_aggregate.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_aggregate.aggregate IS 'Its name.';
COMMENT ON COLUMN superset_ext.perf_aggregate.made_of IS 'The table that it is made of, or that it is a query.';
COMMENT ON COLUMN superset_ext.perf_aggregate.state IS 'exact, behind, building, or off with the reason.';
COMMENT ON COLUMN superset_ext.perf_aggregate.answered IS 'Statements of charts that it has answered since it was built.';
COMMENT ON COLUMN superset_ext.perf_aggregate.saved_seconds IS 'What that saved: by the mean times of both texts, where they were compared.';
COMMENT ON COLUMN superset_ext.perf_aggregate.compared IS 'How often both texts were run in the background and compared.';
COMMENT ON COLUMN superset_ext.perf_aggregate.differences IS 'How often they gave other rows.';
COMMENT ON COLUMN superset_ext.perf_aggregate.failures IS 'How often its text failed, and Superset''s own statement was sent.';
COMMENT ON COLUMN superset_ext.perf_aggregate.rows IS 'How many rows it has.';
COMMENT ON COLUMN superset_ext.perf_aggregate.bytes IS 'Its size with indexes.';
COMMENT ON COLUMN superset_ext.perf_aggregate.size IS 'The same for people.';
COMMENT ON COLUMN superset_ext.perf_aggregate.as_of IS 'Everything that had been committed by then is in it.';
COMMENT ON COLUMN superset_ext.perf_aggregate.upkeep IS 'How it is kept up, how often it is looked at, and how long its last refresh took.';
COMMENT ON COLUMN superset_ext.perf_aggregate.refused IS 'Statements on what it is made of that were left to Superset, by the five commonest reasons.';
COMMENT ON COLUMN superset_ext.perf_aggregate.reasons IS 'Those reasons, each with its number.';
