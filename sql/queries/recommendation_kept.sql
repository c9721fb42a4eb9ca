-- Keeps one recommendation for the dashboards, in the place that what it should bring gives it.
INSERT INTO superset_ext.recommendation (
    place, kind, subject, name, finding, setting, brings, estimated_seconds_a_day)
VALUES (
    %(place)s, %(kind)s, %(subject)s, %(name)s, %(finding)s, %(setting)s, %(brings)s, %(estimated_seconds_a_day)s)
