-- The triggers that note which groups of an aggregate a statement has changed.

CREATE OR REPLACE FUNCTION superset_ext_aggregates.attach(name_ text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known superset_ext_aggregates.catalogue;
    member oid;
    event record;
    trigger_name text;
    enabled "char";
    refusal text;
    made integer := 0;
BEGIN
    SELECT * INTO STRICT known FROM superset_ext_aggregates.catalogue c WHERE c.name = name_;
    -- Under another name one would note each change a second time.
    SELECT format('the trigger %I of %s notes changes a second time; let its owner run: DROP TRIGGER %I ON %s',
        t.tgname, t.tgrelid::regclass, t.tgname, t.tgrelid::regclass) INTO refusal
    FROM superset_ext_aggregates.members(known.base_schema, known.base_name) AS m JOIN pg_trigger t ON t.tgrelid = m.id
    WHERE t.tgfoid = to_regproc(format('superset_ext_aggregates.%I', 'noted_' || name_))::oid
        AND t.tgname NOT IN (SELECT format('superset_ext_aggregates_%s_%s', name_, letter)
            FROM unnest(ARRAY['i', 'u', 'd', 't']) AS letter);
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION '%', refusal USING ERRCODE = 'SXA02';
    END IF;
    FOR member IN SELECT m.id FROM superset_ext_aggregates.members(known.base_schema, known.base_name) AS m LOOP
        FOR event IN SELECT * FROM (VALUES
            ('i', 'INSERT', 'REFERENCING NEW TABLE AS new_rows'),
            ('u', 'UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('d', 'DELETE', 'REFERENCING OLD TABLE AS old_rows'),
            ('t', 'TRUNCATE', '')
        ) AS e (letter, name, tables) LOOP
            trigger_name := format('superset_ext_aggregates_%s_%s', name_, event.letter);
            enabled := (SELECT tgenabled FROM pg_trigger WHERE tgrelid = member AND tgname = trigger_name);
            IF enabled IS NULL THEN
                EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_aggregates.%I()',
                    trigger_name, event.name, member::regclass, event.tables, 'noted_' || name_);
                made := made + 1;
            END IF;
            -- So that it fires with session_replication_role = replica too, which some loaders set. Only an owner may.
            IF enabled IS DISTINCT FROM 'A' AND (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = member)
            THEN
                EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', member::regclass, trigger_name);
                made := made + 1;
            ELSIF enabled IN ('D', 'R') THEN
                RAISE EXCEPTION 'the trigger of % is disabled; let its owner run: ALTER TABLE % ENABLE TRIGGER %',
                    member::regclass, member::regclass, trigger_name USING ERRCODE = 'SXA02';
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.attach(text) IS 'Sees to it that the base of an aggregate, its parts and what it is a part of have the triggers that note changes; how many were made or switched on.';
