-- The registry: what browsers, embedded pages and reports really ask for, so that it can be asked again.

CREATE TABLE IF NOT EXISTS superset_ext.cache_request (
    fingerprint text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('data', 'stored', 'explore')),
    path text NOT NULL,
    args text NOT NULL,
    body text,
    is_form boolean NOT NULL,
    replayable boolean NOT NULL,
    dashboard_id integer,
    chart_id integer,
    dataset_id integer,
    database_id integer,
    queries integer NOT NULL,
    uses double precision NOT NULL,
    used_at timestamptz NOT NULL,
    hours real[] NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    cost_ms double precision
);

CREATE INDEX IF NOT EXISTS cache_request_dashboard ON superset_ext.cache_request (dashboard_id);
CREATE INDEX IF NOT EXISTS cache_request_chart ON superset_ext.cache_request (chart_id);
CREATE INDEX IF NOT EXISTS cache_request_dataset ON superset_ext.cache_request (dataset_id);
CREATE INDEX IF NOT EXISTS cache_request_last_seen ON superset_ext.cache_request (last_seen);

COMMENT ON TABLE superset_ext.cache_request IS 'Chart data requests, each once: what differs only in ways that change no answer is one.';
COMMENT ON COLUMN superset_ext.cache_request.fingerprint IS 'Hash of the normalised request.';
COMMENT ON COLUMN superset_ext.cache_request.kind IS 'data: POST /api/v1/chart/data; stored: GET /api/v1/chart/<id>/data/; explore: /superset/explore_json/.';
COMMENT ON COLUMN superset_ext.cache_request.path IS 'Its path.';
COMMENT ON COLUMN superset_ext.cache_request.args IS 'Its query string, without anything that could be a credential.';
COMMENT ON COLUMN superset_ext.cache_request.body IS 'Its JSON; NULL where there is none, or where its values are not to be kept.';
COMMENT ON COLUMN superset_ext.cache_request.is_form IS 'Whether the JSON came as the form field form_data.';
COMMENT ON COLUMN superset_ext.cache_request.replayable IS 'Whether it can be asked again; if not, its dashboard is discovered anew.';
COMMENT ON COLUMN superset_ext.cache_request.dashboard_id IS 'Superset''s dashboard; NULL where it was asked outside of one.';
COMMENT ON COLUMN superset_ext.cache_request.chart_id IS 'Superset''s chart; NULL for the options of a native filter.';
COMMENT ON COLUMN superset_ext.cache_request.dataset_id IS 'Superset''s dataset.';
COMMENT ON COLUMN superset_ext.cache_request.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.cache_request.queries IS 'Cache keys that it reads.';
COMMENT ON COLUMN superset_ext.cache_request.uses IS 'Decayed count of uses by people, as of used_at: half of it is gone after seven days.';
COMMENT ON COLUMN superset_ext.cache_request.used_at IS 'The moment that uses and hours are counted as of.';
COMMENT ON COLUMN superset_ext.cache_request.hours IS 'Uses by hour of the week (1 is Monday 0:00 to 1:00 UTC, 168 the last), decayed: half is gone after 28 days. Empty until somebody has used it.';
COMMENT ON COLUMN superset_ext.cache_request.first_seen IS 'When it was first asked or discovered.';
COMMENT ON COLUMN superset_ext.cache_request.last_seen IS 'When it was last asked or discovered.';
COMMENT ON COLUMN superset_ext.cache_request.cost_ms IS 'Milliseconds that its answer costs to compute: a mean in which the last one counts for a third.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_request_scope (
    fingerprint text NOT NULL REFERENCES superset_ext.cache_request ON DELETE CASCADE,
    scope text NOT NULL,
    cache_keys text[] NOT NULL,
    who text NOT NULL,
    user_id integer,
    guest jsonb,
    uses double precision NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, scope)
);

CREATE INDEX IF NOT EXISTS cache_request_scope_who ON superset_ext.cache_request_scope (fingerprint, who);

COMMENT ON TABLE superset_ext.cache_request_scope IS 'The access scopes of a request. One is the cache keys that the request leads to; it has one row, with the user or guest who had it last.';
COMMENT ON COLUMN superset_ext.cache_request_scope.fingerprint IS 'The request.';
COMMENT ON COLUMN superset_ext.cache_request_scope.who IS 'user:<id>, guest:<hash of the claims> or anonymous.';
COMMENT ON COLUMN superset_ext.cache_request_scope.user_id IS 'Superset''s user.';
COMMENT ON COLUMN superset_ext.cache_request_scope.guest IS 'Claims of a guest: user, resources and rules; never a token.';
COMMENT ON COLUMN superset_ext.cache_request_scope.scope IS 'Hash of the cache keys; of a discovered request that was not asked yet, who.';
COMMENT ON COLUMN superset_ext.cache_request_scope.cache_keys IS 'The cache keys; empty where they are not known yet.';
COMMENT ON COLUMN superset_ext.cache_request_scope.uses IS 'Decayed count of uses in this scope, as of used_at.';
COMMENT ON COLUMN superset_ext.cache_request_scope.used_at IS 'When it was last used.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_discovery (
    page text PRIMARY KEY,
    version text NOT NULL,
    discovered_at timestamptz NOT NULL,
    requests integer NOT NULL,
    problems text[] NOT NULL
);

COMMENT ON TABLE superset_ext.cache_discovery IS 'Pages that were opened by a headless browser to see what they ask for; once a version.';
COMMENT ON COLUMN superset_ext.cache_discovery.page IS 'dashboard:<id> or chart:<id>.';
COMMENT ON COLUMN superset_ext.cache_discovery.version IS 'Hash of when the page, its charts and its datasets were last changed.';
COMMENT ON COLUMN superset_ext.cache_discovery.discovered_at IS 'When it was opened.';
COMMENT ON COLUMN superset_ext.cache_discovery.requests IS 'Chart data requests that it made.';
COMMENT ON COLUMN superset_ext.cache_discovery.problems IS 'What could not be seen.';

-- Profiles by hour of the week are added up where they are stored, so that processes need not read them.
CREATE OR REPLACE FUNCTION superset_ext.added_hours(stored real[], factor double precision, fresh real[]) RETURNS real[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN cardinality(stored) = 0 THEN fresh
        WHEN cardinality(fresh) = 0 THEN (SELECT array_agg((s * factor)::real ORDER BY n) FROM unnest(stored) WITH ORDINALITY AS t (s, n))
        ELSE (SELECT array_agg((s * factor + f)::real ORDER BY n) FROM unnest(stored, fresh) WITH ORDINALITY AS t (s, f, n))
    END
$$;

COMMENT ON FUNCTION superset_ext.added_hours(real[], double precision, real[]) IS 'A stored profile, decayed by a factor, plus a fresh one; an empty one counts as zero.';
