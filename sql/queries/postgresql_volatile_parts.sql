-- Which of the functions and operators in a plan may do more than return a value. Names are compared without schema, so
-- that one too many is refused rather than one too few. An aggregate is what its functions are; a cast is looked for by
-- its function, and by the type that it leads to.
WITH volatile AS (
    SELECT oid, proname FROM pg_catalog.pg_proc WHERE provolatile = 'v'
)
SELECT DISTINCT proname::text AS name FROM volatile WHERE proname = ANY (%(calls)s)
UNION
SELECT p.proname::text
FROM pg_catalog.pg_aggregate AS a
JOIN pg_catalog.pg_proc AS p ON p.oid = a.aggfnoid
JOIN volatile AS v ON v.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggmfinalfn)
WHERE p.proname = ANY (%(calls)s)
UNION
SELECT 'the operator ' || o.oprname
FROM pg_catalog.pg_operator AS o
JOIN volatile AS v ON v.oid = o.oprcode
WHERE o.oprname = ANY (%(operators)s)
UNION
SELECT 'the cast to ' || pg_catalog.format_type(c.casttarget, NULL)
FROM pg_catalog.pg_cast AS c
JOIN volatile AS v ON v.oid = c.castfunc
WHERE '::' = ANY (%(operators)s)
ORDER BY name;
