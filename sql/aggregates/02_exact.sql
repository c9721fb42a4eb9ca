-- Which tables belong to a base, and whether an aggregate is exact. What these functions say is true of the snapshot of
-- the statement that calls them.

CREATE OR REPLACE FUNCTION superset_ext_aggregates.members(schema_ text, name_ text)
RETURNS TABLE (id oid, holds boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below (id) AS (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = schema_ AND c.relname = name_
        UNION
        SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.id
    ), touching (id) AS (
        SELECT below.id FROM below
        UNION
        SELECT i.inhparent FROM pg_inherits i JOIN touching ON i.inhrelid = touching.id
    )
    SELECT t.id, b.id IS NOT NULL FROM touching t LEFT JOIN below b ON b.id = t.id ORDER BY t.id
$$;

COMMENT ON FUNCTION superset_ext_aggregates.members(text, text) IS 'The tables that a statement may name to change what a query of this table returns: the table and its parts, which hold its rows, and whatever any of them is a part of.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.muted() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT 'BEGIN RETURN NULL; END' $$;

COMMENT ON FUNCTION superset_ext_aggregates.muted() IS 'What the function that notes changes does where nobody takes the notes.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.anchor(of_ superset_ext_aggregates.catalogue) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN (of_).upkeep <> 'notes' OR bool_and(triggers.firing = 4 AND triggers.number = 4 AND noting.is_on) THEN
        md5(string_agg(concat_ws(' ', m.id, m.holds, c.relfilenode, c.relkind, c.relpersistence, c.relrowsecurity,
            attached.names, triggers.names, columns.names), ',' ORDER BY m.id) || max(noting.version)) END
    FROM superset_ext_aggregates.members((of_).base_schema, (of_).base_name) AS m
    JOIN pg_class c ON c.oid = m.id
    CROSS JOIN LATERAL (
        SELECT string_agg(concat_ws(' ', i.inhparent, i.xmin), ',' ORDER BY i.inhparent) AS names
        FROM pg_inherits i WHERE i.inhrelid = m.id
    ) AS attached
    CROSS JOIN LATERAL (
        SELECT string_agg(concat_ws(' ', t.oid, t.xmin), ',' ORDER BY t.oid) AS names,
            count(*) AS number, count(*) FILTER (WHERE t.tgenabled IN ('O', 'A')) AS firing
        FROM pg_trigger t
        WHERE t.tgrelid = m.id
            AND t.tgfoid = to_regproc(format('superset_ext_aggregates.%I', 'noted_' || (of_).name))::oid
    ) AS triggers
    CROSS JOIN LATERAL (
        SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation), ','
            ORDER BY a.attnum) AS names
        FROM pg_attribute a
        WHERE a.attrelid = m.id AND NOT a.attisdropped AND a.attname = ANY ((of_).base_columns)
    ) AS columns
    CROSS JOIN LATERAL (
        SELECT coalesce(max(p.xmin::text), '') AS version, bool_and(p.prosrc <> superset_ext_aggregates.muted()) AS is_on
        FROM pg_proc p WHERE p.oid = to_regproc(format('superset_ext_aggregates.%I', 'noted_' || (of_).name))::oid
    ) AS noting
$$;

COMMENT ON FUNCTION superset_ext_aggregates.anchor(superset_ext_aggregates.catalogue) IS 'A text that is another one once rows may have come or gone without a note: the base or a part was made anew, attached, detached, renamed, or its columns or our triggers were changed, or the function of these that notes. NULL where the base is gone, or writes to a part of it would not be noted, or twice.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.has_notes(name_ text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    note text := format('superset_ext_aggregates.%I', 'note_' || name_);
    number oid;
    has_some boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', note) INTO has_some;
    number := to_regclass(note)::oid;
    -- An older snapshot would see notes that were emptied or made anew after it as none, so the file has to be the one
    -- that it knows. The statement before has locked it.
    RETURN has_some OR (SELECT c.relfilenode FROM pg_class c WHERE c.oid = number)
        IS DISTINCT FROM pg_relation_filenode(number);
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.has_notes(text) IS 'Whether groups of an aggregate were changed since its last refresh; true as well where the snapshot of the calling statement is older than the notes'' file.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.is_exact(of_ superset_ext_aggregates.catalogue) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An older snapshot would see a table that was made after it as empty, so the number has to be the one it knows.
    RETURN of_.state = 'ready' AND of_.upkeep = 'notes'
        AND of_.relation IS NOT DISTINCT FROM to_regclass(format('superset_ext_aggregates.%I', of_.name))::oid
        AND NOT superset_ext_aggregates.has_notes(of_.name)
        AND coalesce(of_.anchor = superset_ext_aggregates.anchor(of_), false);
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.is_exact(superset_ext_aggregates.catalogue) IS 'Whether an aggregate has what its query gives, for all that the calling statement sees as committed.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.state()
RETURNS TABLE (name text, digest text, state text, version bigint, as_of timestamptz, is_exact boolean, asked_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.name, c.digest, c.state, c.version, c.as_of, superset_ext_aggregates.is_exact(c), statement_timestamp()
    FROM superset_ext_aggregates.catalogue AS c
    ORDER BY c.name
$$;

COMMENT ON FUNCTION superset_ext_aggregates.state() IS 'All aggregates, and which of them are exact at this moment: for all that had been committed by `asked_at`.';

CREATE OR REPLACE FUNCTION superset_ext_aggregates.sure(name_ text, version_ bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known superset_ext_aggregates.catalogue;
BEGIN
    SELECT * INTO known FROM superset_ext_aggregates.catalogue c WHERE c.name = name_ AND c.version = version_;
    IF NOT FOUND OR NOT superset_ext_aggregates.is_exact(known) THEN
        RAISE EXCEPTION 'the aggregate % is not exact at this moment', name_ USING ERRCODE = 'SXA01';
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.sure(text, bigint) IS 'True, within a statement that reads an aggregate; an error (SXA01) where it is not exact in the snapshot of that statement, or was refreshed since this version.';

-- Puts a table that was made beside an aggregate's in its place, with the rights of the one that goes.
CREATE OR REPLACE FUNCTION superset_ext_aggregates.swap(name_ text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reader record;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS name
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS acl
        WHERE c.oid = to_regclass(format('superset_ext_aggregates.%I', name_))
            AND acl.privilege_type = 'SELECT' AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON superset_ext_aggregates.%I TO %s', 'new_' || name_, reader.name);
    END LOOP;
    EXECUTE format('DROP TABLE IF EXISTS superset_ext_aggregates.%I', name_);
    EXECUTE format('ALTER TABLE superset_ext_aggregates.%I RENAME TO %I', 'new_' || name_, name_);
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.swap(text) IS 'Puts the table new_<name> in the place of <name>.';
