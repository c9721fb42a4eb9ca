-- Runs in a PostgreSQL source: one row with what the server counts of the changes of tables, and why it is no answer.
-- The parameter is a JSON list of tables, each a list of the spellings that its quoted name may have, as to_regclass
-- reads them.
WITH RECURSIVE named AS (
    SELECT spellings.value AS spelled, to_regclass(spelling.value) AS oid
    FROM json_array_elements(CAST(%s AS json)) AS spellings,
        LATERAL json_array_elements_text(spellings.value) AS spelling
), behind (oid) AS (
    SELECT CAST(oid AS oid) FROM named WHERE oid IS NOT NULL
    UNION
    SELECT below.oid FROM behind, LATERAL (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = behind.oid
        UNION ALL
        SELECT d.refobjid FROM pg_class v
            JOIN pg_rewrite r ON r.ev_class = v.oid
            JOIN pg_depend d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
                AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid <> v.oid
        WHERE v.oid = behind.oid AND v.relkind = 'v'
    ) AS below (oid)
), relation AS (
    SELECT c.oid, CAST(CAST(c.oid AS regclass) AS text) AS name, c.relkind, m.amname
    FROM behind JOIN pg_class c USING (oid) LEFT JOIN pg_am m ON m.oid = c.relam
), called AS (
    SELECT v.name, p.proname FROM relation v
        JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
            AND d.refclassid = CAST('pg_proc' AS regclass)
        JOIN pg_proc p ON p.oid = d.refobjid
    WHERE v.relkind = 'v' AND (p.provolatile <> 'i' OR p.proretset)
), problem (rank, reason) AS (
    SELECT 1, CASE
        WHEN version() !~ '^PostgreSQL [0-9]' OR version() ~* 'greenplum|redshift|-yb-'
            OR EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
            THEN 'this server keeps rows where PostgreSQL counts no changes'
        WHEN pg_is_in_recovery() THEN 'a replica counts no changes'
        WHEN current_setting('track_counts') <> 'on' THEN 'track_counts is off, and so no change is counted'
    END
    UNION ALL
    SELECT 2, 'there is no table ' || (spelled ->> 0) FROM named GROUP BY spelled ->> 0 HAVING count(oid) = 0
    UNION ALL
    SELECT 3, name || ' is ' || CASE relkind WHEN 'f' THEN 'a foreign table' ELSE 'not a table' END
        || ', of which PostgreSQL counts no changes'
    FROM relation WHERE relkind NOT IN ('r', 'p', 'm', 'v')
    UNION ALL
    SELECT 4, name || ' is kept by ' || amname || ', which counts no changes'
    FROM relation WHERE relkind IN ('r', 'm') AND amname <> 'heap'
    UNION ALL
    SELECT 5, 'the view ' || name || ' calls ' || proname || '(), which may read anything' FROM called
    UNION ALL
    SELECT 6, 'no table is behind it' WHERE NOT EXISTS (SELECT FROM relation WHERE relkind IN ('r', 'p', 'm'))
), counted AS (
    SELECT concat_ws(',', oid, pg_relation_filenode(oid), pg_stat_get_tuples_inserted(oid),
        pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_deleted(oid),
        (SELECT md5(string_agg(concat_ws(',', attnum, attname, atttypid, atttypmod), ';' ORDER BY attnum))
            FROM pg_attribute a WHERE a.attrelid = relation.oid AND attnum > 0 AND NOT attisdropped),
        (SELECT md5(string_agg(CAST(ev_action AS text), ';' ORDER BY r.oid))
            FROM pg_rewrite r WHERE r.ev_class = relation.oid AND relkind IN ('v', 'm')),
        (SELECT string_agg(concat_ws(',', inhparent, to_jsonb(i) ->> 'inhdetachpending'), ';' ORDER BY inhparent)
            FROM pg_inherits i WHERE i.inhrelid = relation.oid)) AS counts
    FROM relation
)
SELECT md5(string_agg(counts, E'\n' ORDER BY counts)
        || coalesce((SELECT CAST(stats_reset AS text) FROM pg_stat_database WHERE datname = current_database()), '')
        || coalesce((SELECT CAST(stats_reset AS text) FROM pg_stat_bgwriter), '')),
    (SELECT reason FROM problem WHERE reason IS NOT NULL ORDER BY rank, reason LIMIT 1)
FROM counted
