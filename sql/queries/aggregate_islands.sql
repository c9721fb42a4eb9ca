-- Grains of time that follow each other, as ranges: from the first moment of the first one to the end of the last one.
WITH moment (at) AS (
    SELECT DISTINCT m FROM unnest(%(moments)s::timestamp[]) AS m WHERE isfinite(m)
), begun (at, is_first) AS (
    SELECT at, at - %(grain)s::interval IS DISTINCT FROM lag(at) OVER (ORDER BY at) FROM moment
), island (at, number) AS (
    SELECT at, count(*) FILTER (WHERE is_first) OVER (ORDER BY at) FROM begun
)
SELECT min(at)::text AS from_, (max(at) + %(grain)s::interval)::text AS until
FROM island
GROUP BY number
ORDER BY number
