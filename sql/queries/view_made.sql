-- Notes that a view was made from a file, and returns whether it has to be refreshed.
INSERT INTO superset_ext.view_version (file, checksum, materialized) VALUES (
    %(file)s, %(checksum)s, EXISTS (
        SELECT FROM pg_matviews
        WHERE schemaname = 'superset_ext' AND matviewname IN (%(view)s, %(view)s || '_recent')
    )
)
ON CONFLICT (file) DO UPDATE SET
    checksum = excluded.checksum, materialized = excluded.materialized, applied_at = now()
RETURNING materialized
