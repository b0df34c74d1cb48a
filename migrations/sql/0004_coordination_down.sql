DROP SEQUENCE fact_versions;
