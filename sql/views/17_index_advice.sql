-- Indexes that are advised, and what became of those that were built. Not materialized: they are few.
-- perf_proposal stands on it, so it is replaced, and not dropped.

CREATE OR REPLACE VIEW superset_ext.perf_index_advice AS
SELECT
    row_number() OVER (
        ORDER BY array_position(ARRAY['proposed', 'building', 'applied', 'brought', 'tried', 'dropped'], advice.state),
            advice.seconds DESC NULLS LAST, advice.reach_seconds DESC NULLS LAST, advice.id
    ) AS place,
    advice.created_at, advice.changed_at, advice.database_id,
    superset_ext.object_label('database', advice.database_id, database.name) AS database,
    advice.schema_name, advice.table_name, advice.index_name, advice.state, advice.reason,
    advice.seconds, advice.reach_seconds, advice.bytes, advice.writes_a_day, advice.wal_bytes_a_day,
    advice.fingerprints, advice.charts, advice.datasets, chart.names AS chart_names, dataset.names AS dataset_names,
    format('CREATE INDEX CONCURRENTLY %I %s;', advice.index_name, advice.definition) AS command,
    format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I;', advice.schema_name, advice.index_name) AS drop_command
FROM superset_ext.advice_log AS advice
LEFT JOIN superset_ext.object_name AS database ON database.kind = 'database' AND database.id = advice.database_id
LEFT JOIN LATERAL (
    SELECT string_agg(superset_ext.object_label('chart', given.id, name.name), ', ' ORDER BY name.name, given.id) AS names
    FROM unnest(advice.charts) AS given(id)
    LEFT JOIN superset_ext.object_name AS name ON name.kind = 'chart' AND name.id = given.id
) AS chart ON true
LEFT JOIN LATERAL (
    SELECT string_agg(superset_ext.object_label('dataset', given.id, name.name), ', ' ORDER BY name.name, given.id) AS names
    FROM unnest(advice.datasets) AS given(id)
    LEFT JOIN superset_ext.object_name AS name ON name.kind = 'dataset' AND name.id = given.id
) AS dataset ON true;

COMMENT ON VIEW superset_ext.perf_index_advice IS 'Indexes that are advised, and what became of those that were built.';
COMMENT ON COLUMN superset_ext.perf_index_advice.place IS '1 for what should bring most.';
COMMENT ON COLUMN superset_ext.perf_index_advice.created_at IS 'When it was first advised, or about to be built.';
COMMENT ON COLUMN superset_ext.perf_index_advice.changed_at IS 'When its state last changed.';
COMMENT ON COLUMN superset_ext.perf_index_advice.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.perf_index_advice.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_index_advice.schema_name IS 'Of the index on the source.';
COMMENT ON COLUMN superset_ext.perf_index_advice.table_name IS 'That it is on, with its schema, as the source writes it.';
COMMENT ON COLUMN superset_ext.perf_index_advice.index_name IS 'Its name there.';
COMMENT ON COLUMN superset_ext.perf_index_advice.state IS 'proposed: advised, and not built; building: it is about to be built, or is to go; tried: measured and gone; applied: it stands; brought: it stands, and the log says what it brings; dropped: gone again.';
COMMENT ON COLUMN superset_ext.perf_index_advice.reason IS 'Why it is in this state, in words.';
COMMENT ON COLUMN superset_ext.perf_index_advice.seconds IS 'Of the log, that it saves by the planner''s costs, after those before it; NULL where nothing was costed.';
COMMENT ON COLUMN superset_ext.perf_index_advice.reach_seconds IS 'Of the log, that the statements took which could use it.';
COMMENT ON COLUMN superset_ext.perf_index_advice.bytes IS 'Its size, estimated.';
COMMENT ON COLUMN superset_ext.perf_index_advice.writes_a_day IS 'Rows of its table written a day, each of which it follows; NULL where that is not known.';
COMMENT ON COLUMN superset_ext.perf_index_advice.wal_bytes_a_day IS 'That it then adds to the write-ahead log a day, estimated.';
COMMENT ON COLUMN superset_ext.perf_index_advice.fingerprints IS 'The statements that could use it.';
COMMENT ON COLUMN superset_ext.perf_index_advice.charts IS 'Superset''s ids of the charts that gain.';
COMMENT ON COLUMN superset_ext.perf_index_advice.datasets IS 'Superset''s ids of the datasets that gain.';
COMMENT ON COLUMN superset_ext.perf_index_advice.chart_names IS 'Who gains: charts.';
COMMENT ON COLUMN superset_ext.perf_index_advice.dataset_names IS 'Who gains: datasets.';
COMMENT ON COLUMN superset_ext.perf_index_advice.command IS 'The statement that builds it, which nobody has run unless its state says so.';
COMMENT ON COLUMN superset_ext.perf_index_advice.drop_command IS 'The statement that takes it away.';
