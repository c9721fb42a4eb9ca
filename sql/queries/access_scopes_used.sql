-- Adds uses to the access scopes of requests, each with who had it last.
INSERT INTO superset_ext.cache_access_scope AS r
    (fingerprint, access_scope, cache_keys, identity, user_id, guest, uses, used_at) VALUES %s
ON CONFLICT (fingerprint, access_scope) DO UPDATE SET
    uses = r.uses * superset_ext.uses_left(excluded.used_at - r.used_at) + excluded.uses,
    used_at = greatest(r.used_at, excluded.used_at),
    identity = excluded.identity, user_id = excluded.user_id, guest = excluded.guest;
