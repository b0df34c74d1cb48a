-- Versions of facts: one sequence for all keys, so that a fact written anew after a delete is never taken for the old.
CREATE SEQUENCE fact_versions;
