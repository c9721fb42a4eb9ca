-- Writes a change into the log, with the requests and entries that carried one of its tags, as far as the registry
-- knows: none is 0, and where nothing at all is registered, NULL. Values without SQL carry the tag `any`, which every
-- change stamps, so `read` leaves it out.
INSERT INTO superset_ext.cache_invalidation_log (
    source, operation, tables, tags, requested_by, stamped_at, seconds, precaution, requests_affected,
    entries_affected)
SELECT %(source)s, %(operation)s, %(tables)s, %(tags)s, %(requested_by)s, to_timestamp(%(stamped_at)s), %(seconds)s,
    %(precaution)s, count(DISTINCT r.fingerprint),
    CASE WHEN EXISTS (SELECT FROM superset_ext.cache_access_scope) THEN coalesce(sum(cardinality(s.cache_keys)), 0) END
FROM superset_ext.cache_request r JOIN superset_ext.cache_access_scope s USING (fingerprint)
WHERE r.tags && %(read)s::text[]
