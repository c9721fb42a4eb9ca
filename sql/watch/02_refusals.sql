-- Which tables belong to a watch, and why some tables cannot be watched.

CREATE OR REPLACE FUNCTION superset_ext_watch.members(relation oid) RETURNS SETOF oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below (id) AS (
        SELECT relation
        UNION
        SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.id
    ), touching (id) AS (
        SELECT id FROM below
        UNION
        SELECT i.inhparent FROM pg_inherits i JOIN touching ON i.inhrelid = touching.id
    )
    SELECT id FROM touching ORDER BY id  -- a parent is mostly older than its parts, and is locked first by others too
$$;

COMMENT ON FUNCTION superset_ext_watch.members(oid) IS 'The tables that a statement may name to change what a query of this table returns: the table, all of its parts, and whatever any of them is a part of.';

CREATE OR REPLACE FUNCTION superset_ext_watch.find(name text) RETURNS oid
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    part text[] := parse_ident(name);
    found oid;
    near text;
BEGIN
    IF cardinality(part) > 1 THEN
        found := (
            SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = part[cardinality(part) - 1] AND c.relname = part[cardinality(part)]
        );
    ELSE
        found := to_regclass(name);
    END IF;
    IF found IS NULL THEN
        near := (
            SELECT format('%I.%I', n.nspname, c.relname)
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE lower(c.relname) = lower(part[cardinality(part)]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND n.nspname !~ '^pg_'
            ORDER BY n.nspname, c.relname LIMIT 1
        );
        RAISE EXCEPTION 'there is no table %; %', name, coalesce(
            'write it as in SQL: did you mean ' || near || '?', 'write it as schema.table, as in SQL'
        ) USING ERRCODE = 'SXW01';
    END IF;
    RETURN found;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.find(text) IS 'A table by its name as SQL writes it. Unlike a cast, it finds a table that this role may not use.';

CREATE OR REPLACE FUNCTION superset_ext_watch.tables_of(view oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE read (id) AS (
        SELECT view
        UNION
        SELECT d.refobjid
        FROM read
        JOIN pg_rewrite r ON r.ev_class = read.id
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    )
    SELECT string_agg(id::regclass::text, ', ' ORDER BY id::regclass::text)
    FROM read JOIN pg_class c ON c.oid = id AND c.relkind IN ('r', 'p')
$$;

COMMENT ON FUNCTION superset_ext_watch.tables_of(oid) IS 'The tables that a view reads, through other views too; NULL if there are none.';

CREATE OR REPLACE FUNCTION superset_ext_watch.refusal(relation oid, two_phase_unused boolean) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN c.relkind = 'v' THEN format(
            '%s is a view; watch what it reads: %s', name, coalesce(superset_ext_watch.tables_of(c.oid), 'no table')
        )
        WHEN c.relkind = 'm' THEN
            format('%s is a materialized view, which takes no triggers; probe it instead', name)
        WHEN c.relkind NOT IN ('r', 'p', 'f') THEN
            format('%s is no table', name)
        WHEN c.relpersistence = 't' THEN
            format('%s is a temporary table, which nobody else sees', name)
        WHEN c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) THEN
            format('%s is a table of PostgreSQL''s own; probe it instead', name)
        WHEN members.foreign_ IS NOT NULL THEN format(
            '%s: %s is a foreign table, and what is written on its own server fires no trigger here; probe it instead',
            name, members.foreign_
        )
        WHEN members.replicated IS NOT NULL THEN format(
            '%s: %s is filled by logical replication, which fires no triggers of statements; probe it instead',
            name, members.replicated
        )
        WHEN NOT two_phase_unused AND current_setting('max_prepared_transactions')::integer > 0 THEN format(
            'this server allows PREPARE TRANSACTION (max_prepared_transactions = %s), which fails in a transaction that '
            'has written to a watched table; probe it instead, or add --two-phase-unused where nobody prepares any',
            current_setting('max_prepared_transactions')
        )
    END
    FROM pg_class c
    CROSS JOIN LATERAL (SELECT c.oid::regclass::text AS name) AS named
    CROSS JOIN LATERAL (
        SELECT
            min(m.id::regclass::text) FILTER (WHERE k.relkind = 'f') AS foreign_,
            min(m.id::regclass::text) FILTER (
                WHERE EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = m.id)
            ) AS replicated
        FROM superset_ext_watch.members(c.oid) AS m (id) JOIN pg_class k ON k.oid = m.id
    ) AS members
    WHERE c.oid = relation
$$;

COMMENT ON FUNCTION superset_ext_watch.refusal(oid, boolean) IS 'Why a table cannot be watched, and what to do instead; NULL if it can be watched.';

CREATE OR REPLACE FUNCTION superset_ext_watch.lacking(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        'GRANT USAGE ON SCHEMA ' || string_agg(DISTINCT format('%I', n.nspname), ', ')
            FILTER (WHERE NOT has_schema_privilege(n.oid, 'USAGE')) || format(' TO %I', current_user),
        'GRANT TRIGGER ON ' || string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid)
            FILTER (WHERE NOT has_table_privilege(c.oid, 'TRIGGER')) || format(' TO %I', current_user)
    )
    FROM superset_ext_watch.members(relation) AS m (id)
    JOIN pg_class c ON c.oid = m.id
    JOIN pg_namespace n ON n.oid = c.relnamespace
$$;

COMMENT ON FUNCTION superset_ext_watch.lacking(oid) IS 'The GRANT that this role lacks to watch a table; NULL if it lacks none.';
