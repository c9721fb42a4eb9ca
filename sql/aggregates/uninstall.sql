-- Removes every aggregate, and everything else of ours on this source: tables, notes, functions, triggers, the schema.

SET lock_timeout = '3s';
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS superset_ext_aggregates CASCADE;
RESET client_min_messages;
RESET lock_timeout;
