-- Removes the triggers of grants, and everything else of theirs, from Superset's metadata database.

SET lock_timeout = '3s';
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS superset_ext_grants CASCADE;
RESET client_min_messages;
RESET lock_timeout;
