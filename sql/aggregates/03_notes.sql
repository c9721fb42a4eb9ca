-- The triggers that note which groups of an aggregate a statement has changed.

CREATE OR REPLACE FUNCTION superset_ext_aggregates.attach(name_ text, again boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known superset_ext_aggregates.catalogue;
    member record;
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
    -- By name, which a table that is gone meanwhile has not; as a number it would be a syntax error.
    FOR member IN
        SELECT m.id, format('%I.%I', n.nspname, c.relname) AS name, pg_has_role(c.relowner, 'USAGE') AS is_ours
        FROM superset_ext_aggregates.members(known.base_schema, known.base_name) AS m
        JOIN pg_class c ON c.oid = m.id JOIN pg_namespace n ON n.oid = c.relnamespace
    LOOP
        FOR event IN SELECT * FROM (VALUES
            ('i', 'INSERT', 'REFERENCING NEW TABLE AS new_rows'),
            ('u', 'UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('d', 'DELETE', 'REFERENCING OLD TABLE AS old_rows'),
            ('t', 'TRUNCATE', '')
        ) AS e (letter, name, tables) LOOP
            trigger_name := format('superset_ext_aggregates_%s_%s', name_, event.letter);
            enabled := (SELECT tgenabled FROM pg_trigger WHERE tgrelid = member.id AND tgname = trigger_name);
            IF enabled IS NULL OR again THEN
                enabled := NULL;
                EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_aggregates.%I()',
                    trigger_name, event.name, member.name, event.tables, 'noted_' || name_);
                made := made + 1;
            END IF;
            -- So that it fires with session_replication_role = replica too, which some loaders set. Only an owner may.
            IF enabled IS DISTINCT FROM 'A' AND member.is_ours THEN
                EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', member.name, trigger_name);
                made := made + 1;
            ELSIF enabled IN ('D', 'R') THEN
                RAISE EXCEPTION 'the trigger of % is disabled; let its owner run: ALTER TABLE % ENABLE TRIGGER %',
                    member.name, member.name, trigger_name USING ERRCODE = 'SXA02';
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.attach(text, boolean) IS 'Sees to it that the base of an aggregate, its parts and what it is a part of have the triggers that note changes; how many were made or switched on. Again: all are made anew, which waits for those who write, and takes no other right than making them does.';

-- Called by a trigger where nobody has taken notes for long. Whoever sees a change that was not noted sees this, since the
-- function has another version; and a refresh waits for those who write before it has notes written again.
CREATE OR REPLACE FUNCTION superset_ext_aggregates.mute(name_ text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One at a time: a second one would wait for the end of the first one's transaction.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('superset_ext_aggregates.mute.' || name_, 0)) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION superset_ext_aggregates.%I() RETURNS trigger LANGUAGE plpgsql AS %L',
        'noted_' || name_, superset_ext_aggregates.muted());
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END
$$;

COMMENT ON FUNCTION superset_ext_aggregates.mute(text) IS 'Ends the noting of changes for an aggregate, which is not exact from then on until all of it is made anew; whether it did.';
