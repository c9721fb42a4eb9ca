-- Indexes and other texts that would help, or were built, by what they bring. Not materialized: they are few.

DROP VIEW IF EXISTS superset_ext.perf_proposal;

CREATE VIEW superset_ext.perf_proposal AS
SELECT
    row_number() OVER (
        ORDER BY proposal.state IN ('tried', 'dropped'), proposal.seconds DESC NULLS LAST,
            proposal.reach_seconds DESC NULLS LAST, proposal.at, proposal.subject, proposal.what
    ) AS place,
    proposal.*
FROM (
    SELECT
        'Index' AS kind, advice.state, advice.changed_at AS at, advice.database_id, advice.database,
        replace(advice.table_name, '"', '') AS subject, advice.chart_names AS charts, advice.dataset_names AS datasets,
        '' AS fingerprint, advice.command AS what, advice.seconds, advice.reach_seconds,
        CASE WHEN advice.reason <> '' THEN advice.reason
             WHEN advice.seconds IS NULL THEN 'not costed; it could serve some of these seconds'
             ELSE 'by the planner''s costs; a trial shows what it brings' END AS note,
        pg_size_pretty(advice.bytes) || coalesce(
            ', ' || to_char(advice.writes_a_day, 'FM999,999,999,990') || ' writes a day', '') AS costs
    FROM superset_ext.perf_index_advice AS advice
    UNION ALL
    SELECT
        'Other text', rewrite.state, rewrite.taken_at, rewrite.database_id, rewrite.database, rewrite.chart, rewrite.chart,
        rewrite.dataset, rewrite.fingerprint, rewrite.next_step,
        rewrite.seconds * (1 - 1 / greatest(rewrite.times, 1)), rewrite.seconds,
        array_to_string(rewrite.changed, '; ')
            || CASE WHEN rewrite.reason <> '' THEN '; ' || rewrite.reason
                    WHEN rewrite.automatic THEN '; always helps where it applies' ELSE '; helps often' END
            || coalesce('; sure below ' || rewrite.only_below_rows || ' rows', ''), ''
    FROM superset_ext.perf_rewrite AS rewrite
) AS proposal;

COMMENT ON VIEW superset_ext.perf_proposal IS 'Indexes and other texts that would help, or were built, by what they bring.';
COMMENT ON COLUMN superset_ext.perf_proposal.place IS '1 for what should bring most.';
COMMENT ON COLUMN superset_ext.perf_proposal.kind IS 'Index, or another text of a statement.';
COMMENT ON COLUMN superset_ext.perf_proposal.state IS 'proposed, building, tried, applied, brought or dropped.';
COMMENT ON COLUMN superset_ext.perf_proposal.at IS 'Since when it is in this state.';
COMMENT ON COLUMN superset_ext.perf_proposal.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.perf_proposal.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_proposal.subject IS 'The table of an index; the chart that a statement took most time for.';
COMMENT ON COLUMN superset_ext.perf_proposal.charts IS 'Who gains: charts.';
COMMENT ON COLUMN superset_ext.perf_proposal.datasets IS 'Who gains: datasets.';
COMMENT ON COLUMN superset_ext.perf_proposal.fingerprint IS 'The statement that could be written otherwise; empty for an index.';
COMMENT ON COLUMN superset_ext.perf_proposal.what IS 'The statement that builds an index; of another text, what to set or to run.';
COMMENT ON COLUMN superset_ext.perf_proposal.seconds IS 'Of the last week, that it should save, an estimate; NULL where nothing was costed.';
COMMENT ON COLUMN superset_ext.perf_proposal.reach_seconds IS 'Of the last week, that the statements took which it is about.';
COMMENT ON COLUMN superset_ext.perf_proposal.note IS 'Why it is in this state; of another text what changes, without values, and how sure that is.';
COMMENT ON COLUMN superset_ext.perf_proposal.costs IS 'What an index takes, and what it has to follow; estimated.';
