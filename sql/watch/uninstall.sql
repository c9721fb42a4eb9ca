-- Removes every watch, and everything else that was made on this source: triggers, functions, tables, the schema.

SET lock_timeout = '3s';
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS superset_ext_watch CASCADE;
RESET client_min_messages;
RESET lock_timeout;
